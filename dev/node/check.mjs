/**
 * Whether the Node.js on the PATH runs the scripts of this repository, asked once after every install. Where `package.json`
 * beside this file has no package for the platform, that is the machine's own, which may be too old. Runs on any Node.js.
 */
const NEEDED = [24, 2]

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < NEEDED[0] || (major === NEEDED[0] && minor < NEEDED[1])) {
  console.error(
    `Node.js ${process.versions.node} is too old for the scripts of this repository, and it brings none for ` +
      `${process.platform}-${process.arch}. Install Node.js ${NEEDED.join('.')} or later, then run npm ci again.`,
  )
  process.exit(1)
}
