// shared
import { suite } from 'uvu';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { resumeContract } from '../contract/decoder.ts';
import { tools } from './clips.ts';

const test = suite('resume contract: ffmpeg');
resumeContract(test, () => ffmpegDecoder(tools));
test.run();
