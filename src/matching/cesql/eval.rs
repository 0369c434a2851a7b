//! Runs a CESQL expression over the attributes of an event. It stops at the first error, with the value that the standard
//! gives beside it: the zero of what the outermost operator gives.

use crate::matching::cesql::tree::{Node, Operator, Piece};
use crate::matching::cesql::value::{Attributes, Error, Stopped, Type, Value};

/// The most steps of one expression: a node is one, and each character that a pattern looks at.
const MAX_STEPS: usize = 1_000_000;

type Answer = Result<Value, Stopped>;

/// One run of an expression.
pub(crate) struct Run<'a> {
    attributes: &'a Attributes<'a>,
    steps: usize,
}

// === impl Run ===

impl<'a> Run<'a> {
    /// A run over these attributes.
    pub(crate) fn new(attributes: &'a Attributes<'a>) -> Self {
        Self { attributes, steps: 0 }
    }

    /// The value of `node`.
    pub(crate) fn eval(&mut self, node: &Node) -> Answer {
        self.steps += 1;
        let gives = gives(node);
        if self.steps > MAX_STEPS {
            return Err(Stopped::by(Error::Generic, gives));
        }
        self.one(node, gives).map_err(|stopped| match node {
            // A function says itself what stands for its value; all others give the zero of their type.
            Node::Call(..) => stopped,
            _ => stopped.instead(gives),
        })
    }

    fn one(&mut self, node: &Node, gives: Type) -> Answer {
        let wrong = |error| Stopped::by(error, gives);
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Attribute(name) => (self.attributes)(name).ok_or_else(|| wrong(Error::MissingAttribute)),
            Node::Not(of) => self.eval(of)?.boolean().map(|value| Value::Boolean(!value)).map_err(wrong),
            Node::Negate(of) => {
                let value = self.eval(of)?.integer().map_err(wrong)?;
                value.checked_neg().map(Value::Integer).ok_or_else(|| wrong(Error::Math))
            }
            Node::Both(operator, sides) => self.both(*operator, sides),
            Node::Like(of, pieces) => {
                let text: Vec<char> = self.eval(of)?.text().chars().collect();
                self.like(&text, pieces).map(Value::Boolean).ok_or_else(|| wrong(Error::Generic))
            }
            Node::Exists(name) => Ok(Value::Boolean((self.attributes)(name).is_some())),
            Node::In(of, set) => self.within(of, set),
            Node::Call(function, args) => {
                let args = args.iter().map(|arg| self.eval(arg)).collect::<Result<_, _>>();
                args.map_err(|stopped: Stopped| stopped.instead(gives)).and_then(function.run)
            }
        }
    }

    fn both(&mut self, operator: Operator, sides: &(Node, Node)) -> Answer {
        let wrong = |error| Stopped::by(error, Type::Boolean);
        let left = self.eval(&sides.0)?;
        if let Operator::And | Operator::Or | Operator::Xor = operator {
            let left = left.boolean().map_err(wrong)?;
            if (operator == Operator::And && !left) || (operator == Operator::Or && left) {
                return Ok(Value::Boolean(left));
            }
            let right = self.eval(&sides.1)?.boolean().map_err(wrong)?;
            return Ok(Value::Boolean(if operator == Operator::Xor { left != right } else { right }));
        }
        let right = self.eval(&sides.1)?;
        if let Operator::Equal | Operator::Unequal = operator {
            let left = left.cast(right.kind()).map_err(wrong)?;
            return Ok(Value::Boolean((left == right) == (operator == Operator::Equal)));
        }
        numbers(operator, left.integer().map_err(wrong)?, right.integer().map_err(wrong)?).map_err(wrong)
    }

    /// The elements of the set become the type of what is looked for.
    fn within(&mut self, of: &Node, set: &[Node]) -> Answer {
        let wanted = self.eval(of)?;
        for node in set {
            let element = self.eval(node)?.cast(wanted.kind());
            if element.map_err(|error| Stopped::by(error, Type::Boolean))? == wanted {
                return Ok(Value::Boolean(true));
            }
        }
        Ok(Value::Boolean(false))
    }

    /// Whether the whole text is as the pattern says; nothing when that takes too long.
    fn like(&mut self, text: &[char], pieces: &[Piece]) -> Option<bool> {
        let (mut at, mut piece) = (0, 0);
        // Where to go on when what follows the last `%` does not fit: one character further.
        let mut back: Option<(usize, usize)> = None;
        while at < text.len() {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return None;
            }
            match pieces.get(piece) {
                Some(Piece::Any) => {
                    back = Some((at, piece + 1));
                    piece += 1;
                }
                Some(Piece::One) => (at, piece) = (at + 1, piece + 1),
                Some(Piece::Char(c)) if *c == text[at] => (at, piece) = (at + 1, piece + 1),
                _ => {
                    let Some((from, after)) = back else { return Some(false) };
                    back = Some((from + 1, after));
                    (at, piece) = (from + 1, after);
                }
            }
        }
        Some(pieces[piece..].iter().all(|piece| *piece == Piece::Any))
    }
}

fn numbers(operator: Operator, left: i32, right: i32) -> Result<Value, Error> {
    let checked = |value: Option<i32>| value.map(Value::Integer).ok_or(Error::Math);
    match operator {
        Operator::Less => Ok(Value::Boolean(left < right)),
        Operator::LessOrEqual => Ok(Value::Boolean(left <= right)),
        Operator::Greater => Ok(Value::Boolean(left > right)),
        Operator::GreaterOrEqual => Ok(Value::Boolean(left >= right)),
        Operator::Add => checked(left.checked_add(right)),
        Operator::Subtract => checked(left.checked_sub(right)),
        Operator::Multiply => checked(left.checked_mul(right)),
        Operator::Divide => checked(left.checked_div(right)),
        Operator::Modulo => checked(left.checked_rem(right)),
        Operator::And | Operator::Or | Operator::Xor | Operator::Equal | Operator::Unequal => Err(Error::Generic),
    }
}

/// The type of what a node gives; where nobody knows it, BOOLEAN, as the standard says.
fn gives(node: &Node) -> Type {
    match node {
        Node::Literal(value) => value.kind(),
        Node::Negate(_)
        | Node::Both(
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo,
            _,
        ) => Type::Integer,
        Node::Call(function, _) => function.gives,
        Node::Attribute(_) | Node::Not(_) | Node::Both(..) | Node::Like(..) | Node::Exists(_) | Node::In(..) => {
            Type::Boolean
        }
    }
}
