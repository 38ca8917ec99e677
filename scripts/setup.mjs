/** `npm run setup`: brings what this machine lacks; at once when it lacks nothing. */
import { provision } from './provision.mjs';

try {
  await provision();
} catch (error) {
  process.stderr.write(`troupe setup: ${error.message}\n`);
  process.exitCode = 1;
}
