//! Lists: `sum min max first last distinct sort reverse slice flatten` and `lists.range`. (`join` and `indexOf` stand
//! with the strings, `sortBy` with the macros.)

use crate::expr::compare::{equal, order};
use crate::expr::failure::Failure;
use crate::expr::functions::function::{Answer, Function, int, list, needs};
use crate::expr::gather::sorted;
use crate::expr::limits::Budget;
use crate::expr::operators::Operator;
use crate::expr::value::{Cel, Items};
use std::cmp::Ordering;
use std::collections::HashSet;

/// The family.
pub const TABLE: &[Function] = &[
    Function::method("sum", 1..=1, sum),
    Function::method("min", 1..=1, min),
    Function::method("max", 1..=1, max),
    Function::method("first", 1..=1, first),
    Function::method("last", 1..=1, last),
    Function::method("distinct", 1..=1, distinct),
    Function::method("sort", 1..=1, sort),
    Function::method("isSorted", 1..=1, is_sorted),
    Function::method("reverse", 1..=1, reverse),
    Function::method("slice", 3..=3, slice),
    Function::method("flatten", 1..=2, flatten),
    Function::plain("lists.range", 1..=1, range),
];

/// Of numbers or durations; of nothing: 0.
fn sum<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let items = list(args, 0)?;
    let mut total = items.get(0).unwrap_or(Cel::Int(0));
    if !matches!(total, Cel::Int(_) | Cel::Uint(_) | Cel::Double(_) | Cel::Span(_)) {
        return Err(needs("a list of numbers", Some(&total)));
    }
    for item in items.iter().skip(1) {
        budget.step(1)?;
        total = Operator::Add.apply(&total, &item, budget)?;
    }
    Ok(total)
}

fn min<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    best(list(args, 0)?, Ordering::Less, budget)
}

fn max<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    best(list(args, 0)?, Ordering::Greater, budget)
}

/// The first entry that no other is `wanted` against: the least or the greatest.
///
/// # Errors
/// An empty list (`missing`), entries without order, the limit.
pub fn best<'a>(items: Items<'_, 'a>, wanted: Ordering, budget: &mut Budget) -> Answer<'a> {
    let mut best: Option<Cel<'a>> = None;
    for item in items.iter() {
        budget.step(1)?;
        let better = match &best {
            Some(best) => order(&item, best, budget)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some(item);
        }
    }
    best.ok_or_else(empty)
}

fn first<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    list(args, 0)?.get(0).ok_or_else(empty)
}

fn last<'a>(args: &[Cel<'a>], _: &mut Budget) -> Answer<'a> {
    let items = list(args, 0)?;
    items.len().checked_sub(1).and_then(|at| items.get(at)).ok_or_else(empty)
}

/// Each value once, where it stands first.
fn distinct<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut kept: Vec<Cel<'a>> = Vec::new();
    let mut texts: HashSet<String> = HashSet::new();
    let mut others: Vec<Cel<'a>> = Vec::new();
    for item in list(args, 0)?.iter() {
        budget.step(1)?;
        let new = if let Cel::String(text) = &item {
            budget.touch(text.len())?;
            texts.insert(text.to_string())
        } else {
            let mut new = true;
            for known in &others {
                budget.step(1)?;
                new = new && !equal(known, &item, budget)?;
            }
            if new {
                others.push(item.clone());
            }
            new
        };
        if new {
            kept.push(item);
        }
    }
    Ok(Cel::list(kept))
}

fn sort<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let items = list(args, 0)?;
    budget.step(items.len())?;
    sorted(items.iter().map(|item| (item.clone(), item)).collect(), budget)
}

fn is_sorted<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let mut before: Option<Cel<'a>> = None;
    for item in list(args, 0)?.iter() {
        budget.step(1)?;
        if let Some(before) = &before
            && order(before, &item, budget)? == Some(Ordering::Greater)
        {
            return Ok(Cel::Bool(false));
        }
        before = Some(item);
    }
    Ok(Cel::Bool(true))
}

/// Of a list its entries, of text its characters.
fn reverse<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    if let Cel::String(text) = &args[0] {
        budget.touch(text.len())?;
        return Ok(Cel::text(text.chars().rev().collect::<String>()));
    }
    let items = list(args, 0)?;
    budget.step(items.len())?;
    Ok(Cel::list((0..items.len()).rev().filter_map(|at| items.get(at)).collect()))
}

fn slice<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let (items, start, end) = (list(args, 0)?, int(args, 1)?, int(args, 2)?);
    let (from, to) = match (usize::try_from(start), usize::try_from(end)) {
        (Ok(from), Ok(to)) if from <= to && to <= items.len() => (from, to),
        _ => return Err(Failure::fault(format!("{start} to {end} is not within a list of {}", items.len()))),
    };
    budget.step(to - from)?;
    Ok(Cel::list((from..to).filter_map(|at| items.get(at)).collect()))
}

/// Lists within the list, written out: one level, or as many as said.
fn flatten<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(Failure::fault("the depth is negative"));
    }
    let mut flat = Vec::new();
    spread(list(args, 0)?, depth, &mut flat, budget)?;
    Ok(Cel::list(flat))
}

fn spread<'a>(items: Items<'_, 'a>, depth: i64, flat: &mut Vec<Cel<'a>>, budget: &mut Budget) -> Result<(), Failure> {
    for item in items.iter() {
        budget.step(1)?;
        match item.items() {
            Some(inner) if depth > 0 => spread(inner, depth - 1, flat, budget)?,
            _ => flat.push(item),
        }
    }
    Ok(())
}

/// 0 up to, but without, n.
fn range<'a>(args: &[Cel<'a>], budget: &mut Budget) -> Answer<'a> {
    let end = int(args, 0)?;
    budget.step(usize::try_from(end).unwrap_or(0))?;
    Ok(Cel::list((0..end).map(Cel::Int).collect()))
}

/// Where `value` stands first, or -1.
///
/// # Errors
/// The limit.
pub fn index_of<'a>(items: Items<'_, 'a>, value: &Cel<'a>, budget: &mut Budget) -> Answer<'a> {
    for (at, item) in items.iter().enumerate() {
        budget.step(1)?;
        if equal(&item, value, budget)? {
            return Ok(Cel::Int(at as i64));
        }
    }
    Ok(Cel::Int(-1))
}

fn empty() -> Failure {
    Failure::missing("the list is empty")
}
