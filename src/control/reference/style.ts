/** The style of the reference page. One text, because the page's content security policy names it by its hash. Pure. */
export const STYLE = `
:root{color-scheme:light dark;--bg:#f5f6f2;--card:#fff;--sunk:#f1f3ee;--ink:#14201b;--muted:#55635c;--line:#dde2db;
--accent:#0b6b4a;--mint:#dcf5e8;--mint-ink:#0a5a3e;--get:#dcf5e8;--get-ink:#0a5a3e;--post:#e0ecfd;--post-ink:#17478f;
--put:#fbeecb;--put-ink:#6d4a00;--patch:#efe6fd;--patch-ink:#5a2d9b;--shadow:0 1px 2px rgb(20 32 27/5%),0 8px 24px rgb(20 32 27/5%);
--mono:ui-monospace,"SF Mono","Cascadia Mono","Roboto Mono",Menlo,Consolas,monospace}
@media (prefers-color-scheme:dark){:root{--bg:#0c1210;--card:#131b18;--sunk:#0f1614;--ink:#e8efeb;--muted:#9aaba2;
--line:#25302b;--accent:#5fdca6;--mint:#12352a;--mint-ink:#8ff0c5;--get:#12352a;--get-ink:#8ff0c5;--post:#152b4a;
--post-ink:#a9cbff;--put:#3a2d0c;--put-ink:#f3d386;--patch:#2d1f47;--patch-ink:#d3bcff;--shadow:none}}
*{box-sizing:border-box}
html{scroll-padding-top:1.5rem;-webkit-text-size-adjust:100%}
@media (prefers-reduced-motion:no-preference){html{scroll-behavior:smooth}}
body{margin:0;background:var(--bg);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-font-smoothing:antialiased}
h1,h2,h3,h4,p,ul,dl,dd{margin:0;padding:0}
h1,h2,h3{letter-spacing:-.015em;line-height:1.2;text-wrap:balance}
a{color:var(--accent);text-underline-offset:.2em;text-decoration-thickness:1px}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:.375rem}
code{font-family:var(--mono);font-size:.875em}
p code,td code,dd code{background:var(--sunk);border:1px solid var(--line);border-radius:.375rem;padding:.05em .35em}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;z-index:2;background:var(--card);padding:.5rem 1rem}
.page{width:min(84rem,100%);margin-inline:auto;padding-inline:clamp(1rem,4vw,2rem);display:grid;
grid-template-columns:17.5rem minmax(0,1fr);gap:clamp(1.5rem,4vw,3.5rem);align-items:start}
.side{position:sticky;top:0;max-height:100dvh;overflow:auto;overscroll-behavior:contain;padding-block:1.75rem;scrollbar-width:thin}
.brand{display:inline-flex;align-items:center;gap:.625rem;color:inherit;text-decoration:none;font-weight:650;letter-spacing:-.01em}
.brand svg{flex:none;display:block}
.brand span{color:var(--muted);font-weight:450}
@media (min-width:60.001rem){@supports selector(::details-content){.side summary{display:none}
.side details::details-content{content-visibility:visible;display:block}}}
.side summary{cursor:pointer;padding-block:.5rem;font-weight:550}
.side h2{margin:1.5rem 0 .375rem;font-size:.75rem;letter-spacing:.06em;text-transform:uppercase;color:var(--muted)}
.side h2 a{color:inherit;text-decoration:none}
.side ul{list-style:none}
.side li a{display:flex;gap:.5rem;align-items:baseline;padding:.25rem .5rem;margin-inline:-.5rem;border-radius:.5rem;color:var(--ink);
text-decoration:none;font-size:.875rem;line-height:1.35}
.side li a:hover{background:var(--mint);color:var(--mint-ink)}
.side .method{min-width:2.75rem;font-size:.625rem;padding:.1rem .3rem}
main{padding-block:1.75rem 6rem;min-width:0}
main:focus{outline:none}
.intro{display:grid;gap:1rem;padding-bottom:.5rem}
h1{font-size:clamp(1.875rem,4vw,2.625rem);letter-spacing:-.035em;line-height:1.08}
.lead{font-size:1.125rem;color:var(--muted);max-width:46rem}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(15rem,100%),1fr));gap:.75rem}
.facts div{background:var(--card);border:1px solid var(--line);border-radius:.875rem;padding:.875rem 1rem;box-shadow:var(--shadow);font-size:.9375rem}
.facts dt{font-weight:650;margin-bottom:.125rem}
.facts dd{color:var(--muted)}
main>section>h2{font-size:1.5rem;margin:3.5rem 0 1rem;padding-top:.25rem}
article{background:var(--card);border:1px solid var(--line);border-radius:1rem;padding:clamp(1rem,2.5vw,1.5rem);margin-block:1rem;
box-shadow:var(--shadow);scroll-margin-top:1rem}
article:target{border-color:var(--accent)}
article h3{font-size:1.0625rem}
.route{display:flex;flex-wrap:wrap;gap:.375rem .75rem;align-items:center;margin:.625rem 0 0}
.route code{background:none;border:0;padding:0;font-size:.9375rem;overflow-wrap:anywhere}
.method{flex:none;display:inline-block;font:650 .75rem/1.4 var(--mono);text-align:center;border-radius:.375rem;padding:.15rem .5rem}
.get{background:var(--get);color:var(--get-ink)}.post{background:var(--post);color:var(--post-ink)}
.put{background:var(--put);color:var(--put-ink)}.patch{background:var(--patch);color:var(--patch-ink)}
.what{margin-top:.625rem;color:var(--muted);max-width:46rem}
.roles{display:flex;flex-wrap:wrap;gap:.375rem;list-style:none;margin-top:.75rem;font-size:.8125rem;color:var(--muted);align-items:center}
.roles li{border:1px solid var(--line);border-radius:99rem;padding:.05rem .6rem;background:var(--sunk);color:var(--ink)}
.roles li:first-child{border:0;background:none;padding-inline:0 .125rem;color:var(--muted)}
h4{font-size:.75rem;letter-spacing:.06em;text-transform:uppercase;color:var(--muted);margin:1.375rem 0 .25rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
td{text-align:left;vertical-align:top;border-top:1px solid var(--line);padding:.5625rem 1rem .5625rem 0}
tr:first-child td{border-top:0}
td:last-child{padding-right:0}
td:first-child{width:13rem;overflow-wrap:anywhere}
td small{display:block;font-size:.8125rem;color:var(--muted);margin-top:.125rem}
td .required{color:var(--accent)}
.type{overflow-wrap:anywhere}
.type+p,td p+p{margin-top:.1875rem}
td p.note{color:var(--muted);font-size:.875rem}
details.body{margin-top:.375rem}
details.body>summary{cursor:pointer;font-size:.875rem;color:var(--accent);width:max-content}
@media (max-width:60rem){.page{grid-template-columns:minmax(0,1fr);gap:0}
.side{position:static;max-height:none;padding-block:1.25rem .25rem}
.side details{margin-top:1rem;border:1px solid var(--line);border-radius:.75rem;background:var(--card);padding:.25rem 1rem}
.side nav{padding-bottom:1rem}
main{padding-top:1.25rem}}
@media (max-width:36rem){td{display:block;border:0;padding:0}td:first-child{width:auto}
tr{display:block;border-top:1px solid var(--line);padding-block:.625rem}tr:first-child{border-top:0}
td:first-child small{display:inline;margin-left:.5rem}td+td{margin-top:.25rem}}
@media print{.side{display:none}.page{display:block}article{break-inside:avoid;box-shadow:none}}
`
