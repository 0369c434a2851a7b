//! A compiled CESQL expression.

use crate::matching::cesql::functions::Function;
use crate::matching::cesql::value::Value;

/// One node.
#[derive(Debug)]
pub(crate) enum Node {
    /// A literal.
    Literal(Value),
    /// An attribute of the event.
    Attribute(String),
    /// `NOT x`
    Not(Box<Node>),
    /// `-x`
    Negate(Box<Node>),
    /// `x = y` and the like.
    Both(Operator, Box<(Node, Node)>),
    /// `x LIKE 'pattern'`
    Like(Box<Node>, Vec<Piece>),
    /// `EXISTS name`
    Exists(String),
    /// `x IN (a, b)`
    In(Box<Node>, Vec<Node>),
    /// `f(x, y)`
    Call(&'static Function, Vec<Node>),
}

/// Operators with two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    /// AND
    And,
    /// OR
    Or,
    /// XOR
    Xor,
    /// `=`
    Equal,
    /// `!=`, `<>`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
}

/// A part of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This character.
    Char(char),
    /// `_`: one character.
    One,
    /// `%`: any run of characters.
    Any,
}

/// The pieces of a pattern; a backslash takes their meaning from `%` and `_`.
pub(crate) fn pattern(text: &str) -> Vec<Piece> {
    let (mut pieces, mut chars) = (Vec::new(), text.chars().peekable());
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '%' => Piece::Any,
            '_' => Piece::One,
            '\\' => Piece::Char(chars.next_if(|next| matches!(next, '%' | '_')).unwrap_or('\\')),
            c => Piece::Char(c),
        });
    }
    pieces
}
