/**
 * How well a text answers what somebody typed: every letter in its order, better
 * where they stand together and at the beginnings of words. Undefined: not at all.
 */
export function score(typed: string, text: string): number | undefined {
  const want = typed.toLowerCase().replace(/\s+/g, "");
  const have = text.toLowerCase();
  const whole = have.indexOf(typed.toLowerCase().trim());
  let sum = whole < 0 ? 0 : 100 - whole;
  let from = 0;
  for (const letter of want) {
    const i = have.indexOf(letter, from);
    if (i < 0) return undefined;
    if (i === from && from > 0) sum += 3;
    if (i === 0 || /[\s/._-]/.test(have[i - 1]!)) sum += 5;
    sum -= (i - from) * 0.1;
    from = i + 1;
  }
  return sum - have.length * 0.01;
}

/** The things that answer what somebody typed, the best first. */
export function find<T>(typed: string, list: T[], textOf: (item: T) => string, most: number): T[] {
  if (!typed.trim()) return list.slice(0, most);
  return list
    .map((item) => ({ item, score: score(typed, textOf(item)) }))
    .filter((f): f is { item: T; score: number } => f.score !== undefined)
    .sort((a, b) => b.score - a.score)
    .slice(0, most)
    .map((f) => f.item);
}
