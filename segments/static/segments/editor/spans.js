// Spans as staff write them. A rule stores minutes, hours, days and weeks; months and years become days.
//
// A month is a twelfth of 365 days, rounded: 2 months are 61 days and 3 months 91. So they differ from the 60 and 90
// days that somebody writes as days, and are shown as months again.

export const UNITS = { m: "minute", h: "hour", d: "day", w: "week", months: "month", years: "year" };
const YEAR = 365;
const MONTHS_AT_MOST = 36;

const daysOf = (months) => Math.round((months * YEAR) / 12);

/** Return the count, as text, and the unit of a stored span. */
export function readSpan(span) {
  const [, count, unit] = /^(\d*)([mhdw])$/.exec(span ?? "") ?? [null, "", "d"];
  if (unit !== "d" || !count) return { count, unit };
  const days = Number(count);
  if (days && days % YEAR === 0) return { count: String(days / YEAR), unit: "years" };
  const months = Math.round((days * 12) / YEAR);
  if (months > 1 && months <= MONTHS_AT_MOST && daysOf(months) === days)
    return { count: String(months), unit: "months" };
  return { count, unit };
}

/** Return the span as a rule stores it. */
export function writeSpan({ count, unit }) {
  if (!(unit in { months: 1, years: 1 })) return `${count}${unit}`;
  return count === "" ? "d" : `${daysOf(Number(count) * (unit === "years" ? 12 : 1))}d`;
}
