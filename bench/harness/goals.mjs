import { best, ratios, summary } from "./statistics.mjs";

/**
 * Evaluates a goal, which is data of its subject: `ours` is our contender, `to` the contender or contenders it is
 * measured against (the best of several, together `called` something), and one of `atMost` (ours takes at most that many
 * times theirs), `speed` (theirs takes at least that many times ours) and `below` (ours alone, in the unit of the
 * metric). `place` if it applies to one only.
 */
export function evaluate(goal, contenders) {
  const { metric = "time" } = goal;
  const ours = contenders.find(({ name }) => name === goal.ours);
  const others = contenders.filter(({ name }) => [goal.to].flat().includes(name));
  if (ours === undefined || (goal.to !== undefined && others.length === 0)) return undefined;
  const { value, against } = measured(goal, ours, others, metric);
  return { ...value, against, isMet: isMet(goal, value.median) };
}

function measured(goal, ours, others, metric) {
  if (goal.below !== undefined) return { value: summary(ours.samples.map((sample) => sample[metric])) };
  const other = best(others, metric);
  const [one, two] = goal.atMost === undefined ? [other, ours] : [ours, other];
  const against = others.length > 1 ? other.name : undefined;
  return { value: summary(ratios(one.samples, two.samples, metric)), against };
}

function isMet({ atMost, below, speed }, median) {
  return speed === undefined ? median <= (atMost ?? below) : median >= speed;
}

/** Describes a goal in words. */
export function describe(goal, metrics) {
  const { ours, to, called = to, atMost, speed, below, metric = "time" } = goal;
  const { title, unit } = metrics.find(({ key }) => key === metric);
  const what = metric === "time" ? ours : `${ours}, ${title}`;
  if (below !== undefined) return `${what} ≤ ${below} ${unit}`;
  return atMost === undefined
    ? `${what} ≥ ${speed} × the speed of ${called}`
    : `${what} ≤ ${atMost} × ${called}`;
}
