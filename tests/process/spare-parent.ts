/** A process with one runner process that has no job; prints its pid. `node spare-parent.ts NATS_URL` */
import { processLauncher } from '../../src/infra/process/launcher.ts';
import { NO_SANDBOX } from '../../src/infra/process/sandbox.ts';

const [natsUrl = ''] = process.argv.slice(2);
const settings = {
  natsUrl,
  credsFile: null,
  decoder: { kind: 'native', ffmpeg: '/bin/false', ffprobe: '/bin/false' },
  engine: 'none',
  sandbox: NO_SANDBOX,
  workers: 1,
};
const { pid } = await processLauncher().launch('runner', { settings });
process.stdout.write(`${pid}\n`);
setInterval(() => {}, 1_000);
