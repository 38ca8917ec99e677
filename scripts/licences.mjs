/** Licences that a package may have: those that ask for no more than to be named. */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'CC0-1.0',
  'ISC',
  'MIT',
  'Python-2.0',
  'Unlicense',
]);

/** One that binds, of what is passed on as it is and runs as a program of its own, like ffmpeg: docs/DEPENDENCIES.md. */
const APART = new Map([['@ffmpeg/core', 'GPL-2.0-or-later']]);

/** Whether a package's SPDX expression of AND and OR can be met by allowed licences. One without any is not. */
export function isAllowed(name, expression) {
  if (typeof expression !== 'string') return false;
  if (APART.get(name) === expression) return true;
  const alternatives = expression.replaceAll(/[()]/g, '').split(' OR ');
  return alternatives.some(each => each.split(' AND ').every(licence => ALLOWED.has(licence)));
}
