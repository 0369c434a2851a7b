//! CESQL: words to a tree (SQ-1), by precedence.

use crate::expr::mistake::{Mistake, did_you_mean};
use crate::matching::cesql::functions::{self, Function};
use crate::matching::cesql::lexer::{Placed, Word, words};
use crate::matching::cesql::tree::{Node, Operator, pattern};
use crate::matching::cesql::value::Value;

/// Operators, brackets and calls of one expression: it cannot be deeper than that, so that neither reading nor running it runs
/// out of stack.
const MAX_PARTS: usize = 100;

/// Operators with two sides, loosest first; those of a level are taken from left to right.
const LEVELS: [&[(&str, Operator)]; 4] = [
    &[("AND", Operator::And), ("OR", Operator::Or), ("XOR", Operator::Xor)],
    &[
        ("=", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<>", Operator::Unequal),
        ("<", Operator::Less),
        ("<=", Operator::LessOrEqual),
        (">", Operator::Greater),
        (">=", Operator::GreaterOrEqual),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide), ("%", Operator::Modulo)],
];
const KEYWORDS: [&str; 9] = ["AND", "OR", "XOR", "NOT", "LIKE", "EXISTS", "IN", "TRUE", "FALSE"];

/// The tree of `source`.
///
/// # Errors
/// The first mistake.
pub(crate) fn parse(source: &str) -> Result<Node, Mistake> {
    let words = words(source)?;
    let mut parser = Parser { words: &words, next: 0, parts: 0, end: source.chars().count() };
    let node = parser.level(0)?;
    match parser.words.get(parser.next) {
        None => Ok(node),
        Some(_) => Err(parser.unexpected()),
    }
}

struct Parser<'w> {
    words: &'w [Placed],
    next: usize,
    parts: usize,
    end: usize,
}

// === impl Parser ===

impl Parser<'_> {
    fn at(&self) -> usize {
        self.words.get(self.next).map_or(self.end, |placed| placed.at)
    }

    fn mistake(&self, what: impl Into<String>) -> Mistake {
        Mistake::new(what, "").at(self.at())
    }

    fn unexpected(&self) -> Mistake {
        match self.words.get(self.next).map(|placed| &placed.word) {
            None => self.mistake("the expression ends too early"),
            Some(Word::Sign(sign)) => self.mistake(format!("unexpected `{sign}`")),
            Some(Word::Name(word) | Word::Text(word)) => self.mistake(format!("unexpected `{word}`")),
        }
    }

    /// Takes the next word, when it is this sign or keyword.
    fn take(&mut self, wanted: &str) -> bool {
        let is = self.words.get(self.next).is_some_and(|placed| match &placed.word {
            Word::Sign(sign) => *sign == wanted,
            Word::Name(name) => name.eq_ignore_ascii_case(wanted),
            Word::Text(_) => false,
        });
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), Mistake> {
        if self.take(sign) {
            return Ok(());
        }
        Err(if self.next == self.words.len() {
            self.mistake(format!("`{sign}` is missing"))
        } else {
            self.unexpected()
        })
    }

    /// Counts an operator, a bracket or a call.
    fn part(&mut self) -> Result<(), Mistake> {
        self.parts += 1;
        if self.parts <= MAX_PARTS {
            return Ok(());
        }
        Err(self.mistake(format!("the expression has more than {MAX_PARTS} operators, brackets and calls")))
    }

    /// What operators of this level and the tighter ones make.
    fn level(&mut self, loosest: usize) -> Result<Node, Mistake> {
        let mut node = self.tight()?;
        while let Some((level, operator)) = self.operator(loosest) {
            self.part()?;
            node = Node::Both(operator, Box::new((node, self.level(level + 1)?)));
        }
        Ok(node)
    }

    /// Takes the next word, when it is an operator of this level or a tighter one.
    fn operator(&mut self, loosest: usize) -> Option<(usize, Operator)> {
        let levels = LEVELS.iter().enumerate().skip(loosest);
        let mut operators = levels.flat_map(|(level, operators)| operators.iter().map(move |known| (level, known)));
        operators.find(|(_, (sign, _))| self.take(sign)).map(|(level, (_, operator))| (level, *operator))
    }

    /// One operand, with what binds tighter than arithmetic: `NOT`, `-`, `LIKE`, `EXISTS`, `IN`.
    fn tight(&mut self) -> Result<Node, Mistake> {
        let mut node = self.prefixed()?;
        loop {
            self.part()?;
            let begin = self.next;
            let negated = self.take("NOT");
            node = if self.take("LIKE") {
                self.like(node)?
            } else if self.take("IN") {
                Node::In(Box::new(node), self.set()?)
            } else {
                self.next = begin;
                self.parts -= 1;
                return Ok(node);
            };
            if negated {
                node = Node::Not(Box::new(node));
            }
        }
    }

    fn prefixed(&mut self) -> Result<Node, Mistake> {
        if self.take("NOT") {
            self.part()?;
            return Ok(Node::Not(Box::new(self.prefixed()?)));
        }
        if self.take("-") {
            self.part()?;
            return Ok(match self.number("-")? {
                Some(number) => number,
                None => Node::Negate(Box::new(self.prefixed()?)),
            });
        }
        if self.take("+") {
            return self.number("")?.ok_or_else(|| self.unexpected());
        }
        if self.take("EXISTS") {
            return self.name().map(Node::Exists);
        }
        if self.take("(") {
            self.part()?;
            let node = self.level(0)?;
            self.expect(")")?;
            return Ok(node);
        }
        if let Some(number) = self.number("")? {
            return Ok(number);
        }
        self.atom()
    }

    /// A number behind `sign`, when the next word is one.
    fn number(&mut self, sign: &str) -> Result<Option<Node>, Mistake> {
        let Some(Placed { word: Word::Name(digits), .. }) = self.words.get(self.next) else { return Ok(None) };
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(None);
        }
        let spelled = format!("{sign}{digits}");
        let value = spelled.parse().map_err(|_| self.mistake(format!("`{spelled}` is no number of 32 bits")))?;
        self.next += 1;
        Ok(Some(Node::Literal(Value::Integer(value))))
    }

    fn atom(&mut self) -> Result<Node, Mistake> {
        let word = self.words.get(self.next).map(|placed| placed.word.clone());
        match word {
            Some(Word::Text(text)) => {
                self.next += 1;
                Ok(Node::Literal(Value::Text(text)))
            }
            Some(Word::Name(name)) => {
                for (word, value) in [("TRUE", true), ("FALSE", false)] {
                    if self.take(word) {
                        return Ok(Node::Literal(Value::Boolean(value)));
                    }
                }
                let called = self.words.get(self.next + 1).is_some_and(|placed| placed.word == Word::Sign("("));
                if called && !KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(&name)) {
                    return self.call(&name);
                }
                self.name().map(Node::Attribute)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn name(&mut self) -> Result<String, Mistake> {
        match self.words.get(self.next).map(|placed| &placed.word) {
            Some(Word::Name(name)) if KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(name)) => {
                Err(self.unexpected())
            }
            Some(Word::Name(name)) if name.bytes().all(|b| b.is_ascii_alphanumeric()) => {
                self.next += 1;
                // Names of attributes are small letters; the test kit writes `EXISTS SOURCE`.
                Ok(name.to_ascii_lowercase())
            }
            Some(Word::Name(name)) => Err(self.mistake(format!("`{name}` is no name of an attribute"))),
            _ => Err(self.unexpected()),
        }
    }

    fn like(&mut self, node: Node) -> Result<Node, Mistake> {
        match self.words.get(self.next).map(|placed| &placed.word) {
            Some(Word::Text(text)) => {
                let pieces = pattern(text);
                self.next += 1;
                Ok(Node::Like(Box::new(node), pieces))
            }
            None => Err(self.unexpected()),
            Some(_) => Err(self.mistake("a pattern is written out as a string")),
        }
    }

    fn set(&mut self) -> Result<Vec<Node>, Mistake> {
        self.expect("(")?;
        self.list()
    }

    /// Expressions divided by commas, up to the closing bracket; one at least.
    fn list(&mut self) -> Result<Vec<Node>, Mistake> {
        let mut nodes = vec![self.level(0)?];
        while self.take(",") {
            nodes.push(self.level(0)?);
        }
        self.expect(")")?;
        Ok(nodes)
    }

    fn call(&mut self, name: &str) -> Result<Node, Mistake> {
        let at = self.at();
        self.part()?;
        self.next += 2;
        let args = if self.take(")") { Vec::new() } else { self.list()? };
        let named =
            |function: &&Function| function.name.eq_ignore_ascii_case(name) && function.takes.contains(&args.len());
        match functions::TABLE.iter().find(named) {
            Some(function) => Ok(Node::Call(function, args)),
            None => {
                let known = functions::TABLE.iter().map(|function| function.name);
                let hint = did_you_mean(&name.to_ascii_uppercase(), known).unwrap_or_default();
                let count = if args.len() == 1 { "1 argument".to_owned() } else { format!("{} arguments", args.len()) };
                Err(Mistake::new(format!("unknown function `{name}` with {count}"), hint).at(at))
            }
        }
    }
}
