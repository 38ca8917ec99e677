/** `npm run setup`: brings what this machine lacks, also what could not be brought before; at once when it lacks nothing. */
import { provision } from './provision.mjs';

try {
  await provision({ again: true });
} catch (error) {
  process.stderr.write(`troupe setup: ${error.message}\n`);
  process.exitCode = 1;
}
