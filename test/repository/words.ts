/**
 * Words that a reader of this project should not have to read twice, and where they stand. Pure: files in, places out.
 *
 * A phrase is found across the end of a line too, with the comment's marks between its words. Names that are stored (actions,
 * states, reasons, codes) are data and keep their spelling: `STORED` lists those that contain such a word.
 */

/** Each a regular expression, between word boundaries; a space stands for whatever may stand between two words. */
export const AVOIDED: readonly string[] = [
  ...[
    'anew',
    'lest',
    'whoever',
    'whomever',
    'rightly',
    String.raw`heed\w*`,
    'in hand',
    'of ours',
    'well put',
  ],
  ...[
    '(?:is|are|was|were|be|being|been) told',
    'nobody is told',
    'tells? (?:more|of)',
    'told of',
    'unless told',
  ],
  ...['wants? (?:it|this|that|them) approved', 'wants? approvals?', "(?:says?|said|upstream's) (?:yes|no)"],
  ...['put off', 'takes? it back', '(?:is|are|was|were|be) let', 'asks? nobody', 'good no more'],
]

/** Stored names that contain a word of the list. */
export const STORED: readonly string[] = []

export interface Place {
  readonly file: string
  readonly line: number
  readonly words: string
}

const BETWEEN = String.raw`(?:\s|\*|//|#)+`
const pattern = new RegExp(
  String.raw`\b(?:${AVOIDED.map((words) => words.replaceAll(' ', BETWEEN)).join('|')})\b`,
  'gi',
)

/** Every place in the files where such words stand. */
export function oddWords(files: Readonly<Record<string, string>>): Place[] {
  return Object.entries(files).flatMap(([file, text]) => {
    const checked = STORED.reduce((rest, name) => rest.replaceAll(name, ''), text)
    return [...checked.matchAll(pattern)].map(({ 0: words, index }) => ({
      file,
      line: checked.slice(0, index).split('\n').length,
      words: words.replace(/[\s*/#]+/g, ' '),
    }))
  })
}
