// shared
import { suite } from 'uvu';
import { ffmpegDecoder } from '../../src/infra/video/ffmpeg-decoder.ts';
import { decoderContract } from '../contract/decoder.ts';
import { tools } from './clips.ts';

const test = suite('decoder contract: ffmpeg');
decoderContract(test, () => ffmpegDecoder(tools));
test.run();
