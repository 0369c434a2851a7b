//! Values of CESQL, how one type becomes another (section 3.7 of the standard), and what can go wrong.

/// A value; URIs and times are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// 32 bits.
    Integer(i32),
    /// TRUE or FALSE.
    Boolean(bool),
    /// Any text.
    Text(String),
}

/// Finds an attribute of an event by its name.
pub type Attributes<'a> = dyn Fn(&str) -> Option<Value> + 'a;

/// The types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 32 bits.
    Integer,
    /// TRUE or FALSE.
    Boolean,
    /// Any text.
    Text,
}

/// Errors, by the standard's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Division by zero, overflow.
    Math,
    /// A value cannot become the type that is needed.
    Cast,
    /// The event has no such attribute.
    MissingAttribute,
    /// A function cannot work with its arguments.
    FunctionEvaluation,
    /// It took too many steps.
    Generic,
}

/// What stopped an evaluation, and the value that stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The error.
    pub error: Error,
    /// The value.
    pub value: Value,
}

// === impl Value ===

impl Value {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Integer(_) => Type::Integer,
            Self::Boolean(_) => Type::Boolean,
            Self::Text(_) => Type::Text,
        }
    }

    /// The value as another type.
    ///
    /// # Errors
    /// It cannot become one.
    pub fn cast(self, to: Type) -> Result<Self, Error> {
        match to {
            Type::Integer => self.integer().map(Self::Integer),
            Type::Boolean => self.boolean().map(Self::Boolean),
            Type::Text => Ok(Self::Text(self.text())),
        }
    }

    /// As a number.
    ///
    /// # Errors
    /// It is text that is none.
    pub fn integer(self) -> Result<i32, Error> {
        match self {
            Self::Integer(value) => Ok(value),
            Self::Boolean(value) => Ok(i32::from(value)),
            Self::Text(text) => text.parse().map_err(|_| Error::Cast),
        }
    }

    /// As a boolean.
    ///
    /// # Errors
    /// It is text that is none.
    pub fn boolean(self) -> Result<bool, Error> {
        match self {
            Self::Integer(value) => Ok(value != 0),
            Self::Boolean(value) => Ok(value),
            Self::Text(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Self::Text(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Self::Text(_) => Err(Error::Cast),
        }
    }

    /// As text.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Boolean(value) => value.to_string(),
            Self::Text(text) => text,
        }
    }
}

// === impl Type ===

impl Type {
    /// The value that stands where there is none.
    #[must_use]
    pub fn zero(self) -> Value {
        match self {
            Self::Integer => Value::Integer(0),
            Self::Boolean => Value::Boolean(false),
            Self::Text => Value::Text(String::new()),
        }
    }
}

// === impl Stopped ===

impl Stopped {
    /// Stopped by `error`, where a value of this type would be.
    #[must_use]
    pub fn by(error: Error, instead: Type) -> Self {
        Self { error, value: instead.zero() }
    }

    /// The same error, one operator further out.
    #[must_use]
    pub fn instead(self, of: Type) -> Self {
        Self { value: of.zero(), ..self }
    }
}
