//! Times and durations: `timestamp duration formatTime`, and their parts (`getFullYear`, `getHours` ...), in UTC or a
//! given zone.

use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, needs, text};
use crate::expr::limits::Budget;
use crate::expr::operators::{span_in_range, time_in_range};
use crate::expr::value::Cel;
use chrono::format::{Item, StrftimeItems};
use chrono::{DateTime, Datelike as _, FixedOffset, TimeDelta, Timelike as _, Utc};
use std::fmt::Write as _;

/// The family.
pub const TABLE: &[Function] = &[
    Function::plain("timestamp", 1..=1, timestamp),
    Function::plain("duration", 1..=1, duration),
    Function::plain("formatTime", 2..=3, format_time),
    Function::method("getFullYear", 1..=2, |args, _| part(args, |time| time.year().into())),
    Function::method("getMonth", 1..=2, |args, _| part(args, |time| time.month0().into())),
    Function::method("getDate", 1..=2, |args, _| part(args, |time| time.day().into())),
    Function::method("getDayOfMonth", 1..=2, |args, _| part(args, |time| time.day0().into())),
    Function::method("getDayOfWeek", 1..=2, |args, _| part(args, |time| time.weekday().num_days_from_sunday().into())),
    Function::method("getDayOfYear", 1..=2, |args, _| part(args, |time| time.ordinal0().into())),
    Function::method("getHours", 1..=2, |args, _| either(args, |span| span.num_hours(), |time| time.hour().into())),
    Function::method("getMinutes", 1..=2, |args, _| {
        either(args, |span| span.num_minutes(), |time| time.minute().into())
    }),
    Function::method("getSeconds", 1..=2, |args, _| {
        either(args, |span| span.num_seconds(), |time| time.second().into())
    }),
    Function::method("getMilliseconds", 1..=2, |args, _| {
        either(args, |span| span.num_milliseconds(), |time| time.timestamp_subsec_millis().into())
    }),
];

/// From RFC 3339 text or seconds since 1970.
fn timestamp<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    time(&args[0])
        .and_then(|time| time_in_range(time).ok_or_else(|| Failure::fault("the time is not of the years 1 to 9999")))
}

fn time(value: &Cel) -> Result<DateTime<Utc>, Failure> {
    match value {
        Cel::Time(time) => Ok(*time),
        Cel::Int(seconds) => {
            DateTime::from_timestamp(*seconds, 0).ok_or_else(|| Failure::fault("the time is out of range"))
        }
        Cel::String(text) => DateTime::parse_from_rfc3339(text).map(|time| time.to_utc()).map_err(|_| {
            let shown: String = text.chars().take(64).collect();
            Failure::fault(format!("{shown:?} is not a time such as 2026-01-31T10:00:00Z"))
        }),
        other => Err(needs("a timestamp, or text or seconds to make one of", Some(other))),
    }
}

/// From text such as `1h30m`, `-1.5s`, `250ms`.
fn duration<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Cel::Span(span) = &args[0] {
        return Ok(Cel::Span(*span));
    }
    let written = text(args, 0)?;
    budget.touch(written.len())?;
    let wrong = || {
        let shown: String = written.chars().take(64).collect();
        Failure::fault(format!("{shown:?} is not a duration such as 1h30m, 90s, 250ms"))
    };
    let (sign, mut rest) = match written.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, written),
    };
    if rest == "0" {
        return Ok(Cel::Span(TimeDelta::zero()));
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = TimeDelta::zero();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let count: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let units = [("ms", 1e6), ("us", 1e3), ("ns", 1.0), ("h", 3.6e12), ("m", 6e10), ("s", 1e9)];
        let (unit, nanos) = units.into_iter().find(|(unit, _)| rest.starts_with(unit)).ok_or_else(wrong)?;
        rest = &rest[unit.len()..];
        let nanos = sign * count * nanos;
        let part = (nanos.abs() < i64::MAX as f64).then(|| TimeDelta::nanoseconds(nanos as i64));
        total = part
            .and_then(|part| total.checked_add(&part))
            .ok_or_else(|| Failure::fault("the duration is out of range"))?;
    }
    span_in_range(total).ok_or_else(|| Failure::fault("the duration is out of range"))
}

/// `formatTime(time, "%d.%m.%Y", "Europe/Oslo")`: letters as in strftime; UTC without a zone.
fn format_time<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    if matches!(args[0], Cel::Int(_)) {
        return Err(Failure::fault("needs a timestamp or text, not an integer: write timestamp(seconds)"));
    }
    let time = in_zone(time(&args[0])?, args.get(2))?;
    let pattern = text(args, 1)?;
    // A letter can stand for some thirty characters.
    budget.step(1 + pattern.len())?;
    let items: Vec<Item> = StrftimeItems::new(pattern).collect();
    if items.contains(&Item::Error) {
        return Err(Failure::fault(format!("{pattern:?} is not a pattern such as \"%Y-%m-%d %H:%M\"")));
    }
    let mut written = String::new();
    write!(written, "{}", time.format_with_items(items.iter()))
        .map_err(|_| Failure::fault(format!("{pattern:?} asks for what a time does not have")))?;
    Ok(Cel::text(written))
}

fn part<'a>(args: &[Cel<'a>], get: fn(&DateTime<FixedOffset>) -> i64) -> Answer<'a> {
    match &args[0] {
        Cel::Time(time) => Ok(Cel::Int(get(&in_zone(*time, args.get(1))?))),
        other => Err(needs("a timestamp", Some(other))),
    }
}

fn either<'a>(args: &[Cel<'a>], span: fn(&TimeDelta) -> i64, time: fn(&DateTime<FixedOffset>) -> i64) -> Answer<'a> {
    match args {
        [Cel::Span(value)] => Ok(Cel::Int(span(value))),
        [Cel::Time(_), ..] => part(args, time),
        _ => Err(needs("a timestamp or a duration", args.first())),
    }
}

/// A zone is a name (`Europe/Paris`) or an offset (`+02:00`, `02:00`, `-08:30`); UTC without.
fn in_zone(time: DateTime<Utc>, zone: Option<&Cel>) -> Result<DateTime<FixedOffset>, Failure> {
    let Some(zone) = zone else { return Ok(time.fixed_offset()) };
    let Cel::String(zone) = zone else { return Err(needs("a time zone as a string", Some(zone))) };
    let unknown = || {
        let shown: String = zone.chars().take(64).collect();
        Failure::fault(format!("{shown:?} is not a time zone such as Europe/Paris or +02:00"))
    };
    let Some((hours, minutes)) = zone.split_once(':') else {
        let zone: chrono_tz::Tz = if zone.is_empty() { chrono_tz::UTC } else { zone.parse().map_err(|_| unknown())? };
        return Ok(time.with_timezone(&zone).fixed_offset());
    };
    let sign = if hours.starts_with('-') { -1 } else { 1 };
    let number = |digits: &str| {
        let digits = digits.trim_start_matches(['+', '-']);
        (digits.len() <= 2).then(|| digits.parse::<i32>().ok()).flatten().ok_or_else(unknown)
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let offset = (minutes < 60).then(|| FixedOffset::east_opt(sign * (hours * 3600 + minutes * 60))).flatten();
    Ok(time.with_timezone(&offset.ok_or_else(unknown)?))
}
