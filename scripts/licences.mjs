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
  'Unlicense',
]);

/** Whether an SPDX expression of AND and OR can be met by allowed licences. One without any is not. */
export function isAllowed(expression) {
  if (typeof expression !== 'string') return false;
  const alternatives = expression.replaceAll(/[()]/g, '').split(' OR ');
  return alternatives.some(each => each.split(' AND ').every(name => ALLOWED.has(name)));
}
