/** Runs a command to its end: returns its stdout, or throws an Error that says what it complained of. */
import { execFile } from 'node:child_process';

export function run(command, args, options = {}) {
  return new Promise((resolve, reject) => {
    execFile(command, args, { maxBuffer: 64 * 1024 * 1024, ...options }, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout);
      const complaint = `${stderr.trim() || stdout.trim() || error.message}`.split('\n').slice(0, 20).join('\n');
      reject(new Error(`${[command, args.find(arg => /^[a-z]/.test(arg))].join(' ')} failed:\n${complaint}`));
    }).stdin?.end();
  });
}
