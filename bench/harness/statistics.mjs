/** Returns the median, and the quartiles around it. */
export function summary(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return { median: at(sorted, 0.5), low: at(sorted, 0.25), high: at(sorted, 0.75) };
}

function at(sorted, part) {
  const place = (sorted.length - 1) * part, below = Math.floor(place);
  const above = sorted[Math.min(below + 1, sorted.length - 1)];
  return sorted[below] + (above - sorted[below]) * (place - below);
}

/** Returns what one contender took as a multiple of the other in the same round. */
export function ratios(samples, others, key) {
  return samples.map((sample, round) => sample[key] / others[round][key]);
}

/** Returns the contender that takes least. */
export function best(contenders, key) {
  const median = ({ samples }) => summary(samples.map((sample) => sample[key])).median;
  return contenders.reduce((one, other) => median(other) < median(one) ? other : one);
}
