/** `node scripts/launch.mjs FILE [ARGS…]`: runs a TypeScript file of this checkout with all that it needs. */
import { launch } from './launcher.mjs';

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  process.stderr.write('usage: node scripts/launch.mjs FILE [ARGS…]\n');
  process.exit(2);
}
await launch(file, args);
