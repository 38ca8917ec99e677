#!/usr/bin/env node
/** The `troupe` command of a checkout. */
import { launch } from './launcher.mjs';

await launch('src/main.ts', process.argv.slice(2));
