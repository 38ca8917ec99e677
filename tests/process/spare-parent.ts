/** A process with one runner process that has no job; prints its pid. `node spare-parent.ts NATS_URL` */
import { processLauncher } from '../../src/infra/process/launcher.ts';

const [natsUrl = ''] = process.argv.slice(2);
const settings = { natsUrl, credsFile: null, ffmpeg: '/bin/false', ffprobe: '/bin/false', workers: 1 };
const { pid } = await processLauncher().launch('runner', { settings });
process.stdout.write(`${pid}\n`);
setInterval(() => {}, 1_000);
