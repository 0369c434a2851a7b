//! One CEL expression: compiled once at load, run per record within its budget.

use crate::expr::compile::compile;
use crate::expr::eval::Run;
use crate::expr::failure::Failure;
use crate::expr::limits::{Budget, weigh};
use crate::expr::mistake::Mistake;
use crate::expr::node::Node;
use crate::expr::path::Path;
use crate::expr::scope::{Names, Scope};
use crate::expr::value::Cel;
use serde_json::Value;
use std::borrow::Cow;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    source: Box<str>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// Followed in the JSON itself: exact.
    Path(Path),
    Cel(Box<Node>),
}

// === impl Expression ===

impl Expression {
    /// Compiles `source`, which may use `names`.
    ///
    /// # Errors
    /// The first mistake: syntax, an unknown name or function, a bound.
    pub fn compile(source: &str, names: &Names) -> Result<Self, Mistake> {
        let form = match Path::parse(source, names) {
            Some(path) => Form::Path(path),
            None => Form::Cel(Box::new(compile(source, names)?)),
        };
        Ok(Self { source: source.trim().into(), form })
    }

    /// The value, as JSON; its size counts as output. What a plain path leads to is copied exactly.
    ///
    /// # Errors
    /// Why there is none.
    pub fn eval(&self, scope: &Scope, budget: &mut Budget) -> Result<Value, Failure> {
        self.lend(scope, budget).and_then(|value| {
            if let Cow::Borrowed(lent) = &value {
                budget.output(weigh(lent)).map_err(|failure| failure.of(&self.source))?;
            }
            Ok(value.into_owned())
        })
    }

    /// The value, as JSON; what a plain path leads to is lent, not copied, and does not count as output.
    ///
    /// # Errors
    /// Why there is none.
    pub fn lend<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Cow<'a, Value>, Failure> {
        let value = match &self.form {
            Form::Path(path) => budget.step(1).and_then(|()| path.find(scope)).map(Cow::Borrowed),
            Form::Cel(node) => {
                Run::new(scope, budget).eval(node).and_then(|value| value.to_json(budget)).map(Cow::Owned)
            }
        };
        value.map_err(|failure| failure.of(&self.source))
    }

    /// The value as CEL sees it.
    ///
    /// # Errors
    /// Why there is none.
    pub fn run<'a>(&'a self, scope: &Scope<'a>, budget: &mut Budget) -> Result<Cel<'a>, Failure> {
        let value = match &self.form {
            Form::Path(path) => budget.step(1).and_then(|()| path.find(scope)).map(Cel::lend),
            Form::Cel(node) => Run::new(scope, budget).eval(node),
        };
        value.map_err(|failure| failure.of(&self.source))
    }

    /// The value of a condition.
    ///
    /// # Errors
    /// Why there is none; a value that is not a boolean is a failure.
    pub fn test(&self, scope: &Scope, budget: &mut Budget) -> Result<bool, Failure> {
        self.run(scope, budget)?.truth().map_err(|failure| failure.of(&self.source))
    }

    /// The path it is, when it is a plain one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.form {
            Form::Path(path) => Some(path),
            Form::Cel(_) => None,
        }
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::failure::FailureKind;
    use crate::expr::limits::Limits;
    use crate::expr::secrets::Secrets;
    use crate::model::secret::Secret;
    use proptest::prelude::*;
    use serde_json::json;
    use std::sync::Arc;

    fn payload() -> Value {
        serde_json::from_str(
            r#"{"id":"o-1","type":"OrderPlaced","n":7,"price":9.50,"big":12345678901234567890.10,"u":18446744073709551615,
                "none":null,"ok":true,"cc":"NO","note":"Hé llo","when":"2026-01-31T10:30:00.250+01:00",
                "lines":[{"sku":"b","qty":2,"price":9.5},{"sku":"a","qty":1,"price":10},{"sku":"c","qty":0,"price":1}],
                "tags":["x","y","x"],"m":{"b":2,"a":1},"customer":{"name":"Ann"},"a-b":{"c d":1}}"#,
        )
        .unwrap()
    }

    fn names() -> Names {
        let secrets = [("partner".to_owned(), Secret::new("key"))].into();
        Names::new(["payload", "tables"]).knowing(Secrets::Known(Arc::new(secrets)))
    }

    fn eval_within(source: &str, limits: &Limits) -> Result<Value, Failure> {
        let (payload, tables) = (payload(), json!({"country": {"NO": "Norway"}}));
        let mut scope = Scope::new();
        scope.bind("payload", &payload);
        scope.bind("tables", &tables);
        let compiled = Expression::compile(source, &names()).unwrap_or_else(|mistake| panic!("{source}: {mistake}"));
        compiled.eval(&scope, &mut Budget::new(limits))
    }

    fn eval(source: &str) -> Result<Value, Failure> {
        eval_within(source, &Limits::default())
    }

    fn mistake(source: &str) -> Mistake {
        Expression::compile(source, &names()).expect_err(source)
    }

    /// Each line: an expression and the JSON it gives.
    fn all_give(cases: &str) {
        for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (source, wanted) = line.rsplit_once(" => ").expect(line);
            let given = eval(source.trim()).unwrap_or_else(|failure| panic!("{source}: {failure}"));
            assert_eq!(given.to_string(), wanted.trim(), "{source}");
        }
    }

    /// Each line: an expression and a part of what its failure says.
    fn all_fail(cases: &str) {
        for line in cases.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (source, wanted) = line.rsplit_once(" => ").expect(line);
            let failure = eval(source.trim()).expect_err(source);
            assert!(failure.what.contains(wanted.trim()), "{source}: {}", failure.what);
            assert_eq!(failure.expression.as_deref(), Some(source.trim()));
        }
    }

    #[test]
    fn operators_and_literals_are_those_of_cel() {
        all_give(
            r#"
            1 + 2 * 3 => 7
            7 / 2 => 3
            -7 % 3 => -1
            7.0 / 2.0 => 3.5
            -payload.n => -7
            "a" + 'b' => "ab"
            [1] + [2] => [1,2]
            b"hi" => "aGk="
            payload.n > 5 && !(payload.n > 10) => true
            payload.n == 7.0 => true
            payload.n != 7u => false
            1 < 1.5 => true
            "a" < "b" => true
            payload.ok ? "yes" : "no" => "yes"
            "x" in payload.tags => true
            "b" in payload.m => true
            3 in [1, 2] => false
            {"a": 1, "b": [true, null]} => {"a":1,"b":[true,null]}
            payload.lines[1].sku => "a"
            payload.lines[payload.lines.size() - 1].sku => "c"
            {"k": [1, 2]}.k[1] => 2
            payload["a-b"]["c d"] + 1 => 2
            payload.`a-b`.`c d` + 1 => 2
            tables.country[payload.cc] + "!" => "Norway!"
            payload.u => 18446744073709551615
            type(payload.n) == int => true
            type(1.5) => "double"
            has(payload.none) => true
            has(payload.gone) => false
            has(payload.customer.name) && payload.customer.name == "Ann" => true
            dyn(1) == 1 => true
            0x1F + 1 => 32
            "\u00e9\n" => "é\n"
            -9223372036854775808 => -9223372036854775808
        "#,
        );
    }

    #[test]
    fn an_integer_beside_a_double_counts_as_a_double() {
        all_give(
            r#"
            payload.n * payload.price => 66.5
            1 + 0.5 => 1.5
            payload.lines.map(l, l.qty * l.price).sum() => 29.0
            18446744073709551615u - 1 => 18446744073709551614
            payload.u - 1 => 18446744073709551614
        "#,
        );
    }

    #[test]
    fn either_side_of_a_logical_operator_can_decide() {
        all_give(
            r#"
            payload.gone == 1 || true => true
            true || payload.gone == 1 => true
            payload.gone == 1 && false => false
            payload.tags.exists(t, 1 / (payload.n - 7) == 1 || t == 'y') => true
            [1, 0, 2].exists(x, 2 / x == 1) => true
            [1, 0].all(x, 1 / x > 5) => false
            [].all(x, x) => true
        "#,
        );
        all_fail(
            r#"
            payload.gone == 1 || false => no such key `gone`
            payload.n && true => a condition must be true or false, it is an integer
            [0, 1].all(x, 1 / x > 0) => division by zero
            [1, 0].exists_one(x, 1 / x == 1) => division by zero
        "#,
        );
    }

    #[test]
    fn macros_go_over_lists_and_maps() {
        all_give(
            r#"
            payload.lines.map(l, l.sku) => ["b","a","c"]
            payload.lines.map(l, l.qty > 0, l.sku) => ["b","a"]
            payload.lines.filter(l, l.qty > 1).map(l, l.sku) => ["b"]
            payload.lines.all(l, l.qty >= 0) => true
            payload.lines.exists(l, l.qty > 1) => true
            payload.tags.exists_one(t, t == "y") => true
            payload.tags.existsOne(t, t == "x") => false
            payload.lines.sortBy(l, l.sku).map(l, l.sku) => ["a","b","c"]
            payload.lines.sortBy(l, -l.price).map(l, l.sku) => ["a","b","c"]
            payload.m.map(k, k) => ["b","a"]
            payload.tags.transformList(i, t, t + string(i)) => ["x0","y1","x2"]
            payload.tags.transformList(i, t, i > 0, t) => ["y","x"]
            payload.m.transformMap(k, v, v * 10) => {"b":20,"a":10}
            payload.m.transformMap(k, v, v > 1, v) => {"b":2}
            payload.tags.all(i, t, i < 3 && t != "z") => true
            payload.m.exists(k, v, k == "a" && v == 1) => true
            payload.lines.map(l, payload.tags.filter(t, t == l.sku)) => [[],[],[]]
            cel.bind(x, payload.n + 1, x * x) => 64
            [1, 2].map(payload, payload + 1) => [2,3]
            payload.lines.map(l, cel.bind(q, l.qty, q + 1)) => [3,2,1]
        "#,
        );
        all_fail(
            r#"
            payload.n.map(x, x) => `payload.n` is an integer, not a list
            [1, 'a'].sortBy(x, x) => cannot be ordered
        "#,
        );
    }

    #[test]
    fn optionals_stand_for_what_may_be_missing() {
        all_give(
            r#"
            payload.?gone => null
            payload.?n => 7
            payload.?gone.?deeper.orValue("x") => "x"
            payload.?customer.name.orValue("x") => "Ann"
            payload.tags[?1].orValue("z") => "y"
            payload.tags[?9].hasValue() => false
            payload.none.?deeper.hasValue() => false
            [1, ?payload.?gone, ?payload.?n] => [1,7]
            {"a": 1, ?"b": payload.?gone, ?"c": payload.?n} => {"a":1,"c":7}
            payload.?n.optMap(n, n + 1).orValue(0) => 8
            payload.?gone.optMap(n, n + 1).orValue(0) => 0
            payload.?customer.optFlatMap(c, c.?name).value() => "Ann"
            optional.of(1).or(optional.none()).value() => 1
            optional.none().or(optional.of(2)).value() => 2
            optional.ofNonZeroValue("").hasValue() => false
            has(payload.?customer.name) => true
        "#,
        );
        assert!(eval("payload.?gone.value()").unwrap_err().missing);
    }

    #[test]
    fn text_functions_count_characters() {
        all_give(
            r#"
            size(payload.note) => 6
            payload.note.charAt(1) => "é"
            payload.note.indexOf("l") => 3
            payload.note.indexOf("l", 4) => 4
            payload.note.lastIndexOf("l") => 4
            payload.note.lastIndexOf("l", 3) => 3
            payload.note.indexOf("z") => -1
            payload.note.lowerAscii() => "hé llo"
            payload.note.upperAscii() => "Hé LLO"
            payload.note.replace("l", "L") => "Hé LLo"
            payload.note.replace("l", "", 1) => "Hé lo"
            payload.note.split(" ") => ["Hé","llo"]
            "a,b,c".split(",", 2) => ["a","b,c"]
            "aé".split("") => ["a","é"]
            "abc".split("", 2) => ["a","bc"]
            payload.note.substring(1) => "é llo"
            payload.note.substring(1, 2) => "é"
            " x ".trim() => "x"
            ["a", "b"].join("-") => "a-b"
            [1, true].join() => "1true"
            "aé".reverse() => "éa"
            strings.quote("a\"b\n") => "\"a\\\"b\\n\""
            "abc".contains("b") && "abc".startsWith("a") && "abc".endsWith("c") => true
            payload.id.matches("^o-[0-9]+$") => true
            matches(payload.id, "-") => true
            payload.id.matches("o" + "-") => true
            payload.id.matches(payload.tags[0]) => false
            "%s has %d at %.2f %% %x".format(["Ann", 3, 9.5, 255]) => "Ann has 3 at 9.50 % ff"
            "%e %X %b %o %s".format([1500.0, "hi", 5, 8, [1]]) => "1.500000e+03 6869 101 10 [1]"
        "#,
        );
        all_fail(
            r#"
            payload.n.trim() => `trim`: needs a string, not an integer
            "abc".substring(2, 1) => the end is before the start
            "abc".charAt(4) => outside of the text
            [payload.m].join() => needs a list of strings, not an object
            "%d".format(["x"]) => needs an integer for %d, not a string
            "%s".format([]) => no value for clause 1
        "#,
        );
    }

    #[test]
    fn lists_and_numbers_have_their_functions() {
        all_give(
            r#"
            [1, 2, 3].sum() => 6
            [].sum() => 0
            [1, 2.5].sum() => 3.5
            [3, 1, 2].min() => 1
            [3, 1, 2].max() => 3
            payload.tags.first() => "x"
            payload.tags.last() => "x"
            payload.tags.distinct() => ["x","y"]
            [1, 1.0, 2].distinct() => [1,2]
            [3, 1, 2].sort() => [1,2,3]
            [1, 2].isSorted() => true
            [1, 2, 3].reverse() => [3,2,1]
            [1, 2, 3].slice(1, 3) => [2,3]
            [1, [2, [3]]].flatten() => [1,2,[3]]
            [1, [2, [3]]].flatten(2) => [1,2,3]
            lists.range(3) => [0,1,2]
            [1, 2].indexOf(2) => 1
            math.greatest(1, 2.5, 2) => 2.5
            math.least([3, 1]) => 1
            math.ceil(1.2) => 2.0
            math.floor(-1.2) => -2.0
            math.round(1.5) => 2.0
            math.trunc(-1.7) => -1.0
            math.round(3) => 3
            math.abs(-3) => 3
            math.sign(-2.5) => -1.0
            math.isFinite(1.0 / 0.0) => false
            math.bitAnd(6, 3) => 2
            math.bitShiftLeft(1, 4) => 16
            math.bitShiftRight(-1, 63) => 1
        "#,
        );
        assert!(eval("[].first()").unwrap_err().missing && eval("[].max()").unwrap_err().missing);
    }

    #[test]
    fn types_are_converted_where_the_value_allows() {
        all_give(
            r#"
            int("12") => 12
            int(3.9) => 3
            int(timestamp("1970-01-01T00:01:00Z")) => 60
            uint(3) => 3
            double("1.5") => 1.5
            string(1.5) => "1.5"
            string(payload.n) => "7"
            string(b"hi") => "hi"
            bool("true") => true
            bytes("hi") => "aGk="
            size(bytes("é")) => 2
            size(payload.m) => 2
        "#,
        );
        all_fail(
            r#"
            int("x") => "x" is not an integer
            int(1e30) => is not an integer of 64 bits
            uint(-1) => is not an unsigned integer
            bool("maybe") => "maybe" is not true or false
            string(payload.m) => needs a value that is no list or object, not an object
        "#,
        );
    }

    #[test]
    fn times_are_utc_unless_a_zone_is_given() {
        all_give(
            r#"
            timestamp(payload.when) => "2026-01-31T09:30:00.250Z"
            timestamp(payload.when).getHours() => 9
            timestamp(payload.when).getHours("Europe/Oslo") => 10
            timestamp(payload.when).getHours("-02:30") => 7
            timestamp(payload.when).getFullYear() => 2026
            timestamp(payload.when).getMonth() => 0
            timestamp(payload.when).getDate() => 31
            timestamp(payload.when).getDayOfMonth() => 30
            timestamp(payload.when).getDayOfYear() => 30
            timestamp(payload.when).getDayOfWeek() => 6
            timestamp(payload.when).getMilliseconds() => 250
            timestamp(payload.when) + duration("1h30m") => "2026-01-31T11:00:00.250Z"
            timestamp("2026-01-02T00:00:00Z") - timestamp("2026-01-01T00:00:00Z") => "86400s"
            duration("90m").getHours() => 1
            duration("1.5s") + duration("-250ms") => "1.25s"
            timestamp(0) < timestamp(1) => true
            formatTime(payload.when, "%d.%m.%Y %H:%M") => "31.01.2026 09:30"
            formatTime(timestamp(0), "%Y-%m-%d", "America/New_York") => "1969-12-31"
        "#,
        );
        all_fail(
            r#"
            timestamp("yesterday") => "yesterday" is not a time such as
            timestamp(payload.when).getHours("Mars/Olympus") => is not a time zone
            timestamp(payload.when).getHours("+99:00") => is not a time zone
            duration("5 apples") => is not a duration
            timestamp("9999-12-31T23:59:59Z") + duration("1s") => out of range
            formatTime(payload.when, "%Q") => is not a pattern
            formatTime(0, "%Y") => write timestamp(seconds)
        "#,
        );
    }

    #[test]
    fn values_are_hidden_hashed_and_encoded() {
        all_give(
            r#"
            mask("ann@acme.com", 3) => "ann*********"
            mask("4111111111111111", -4) => "************1111"
            mask("é", 9) => "é"
            sha256("abc") => "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
            sha256(b"abc") == sha256("abc") => true
            hmac("The quick brown fox jumps over the lazy dog", "partner") => "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
            hmac(b"x", "partner") == hmac("x", "partner") => true
            uuid5("dns", "www.example.com") => "2ed6657d-e927-568b-95e1-2665a8aea6a2"
            uuid5("6ba7b811-9dad-11d1-80b4-00c04fd430c8", "a") == uuid5("url", "a") => true
            json.parse("{\"a\":[1,2]}").a[1] => 2
            json.string(payload.m) => "{\"b\":2,\"a\":1}"
            json.string({"p": payload.big > 1.0, "l": [1.5]}) => "{\"p\":true,\"l\":[1.5]}"
            urlEncode("a b/é~") => "a%20b%2F%C3%A9~"
            base64.encode(b"hello") => "aGVsbG8="
            base64.encode("hello") => "aGVsbG8="
            string(base64.decode("aGVsbG8")) => "hello"
        "#,
        );
        all_fail(
            r#"
            json.parse("{") => not JSON
            base64.decode("?") => not base64
            hmac(payload.n, "partner") => `hmac`: needs a string or bytes, not an integer
            uuid5("dnss", "a") => is no namespace
        "#,
        );
    }

    #[test]
    fn a_failure_says_what_is_missing_and_where() {
        all_fail(
            r#"
            payload.customer.mail + 'x' => no such key `customer.mail` in `payload`
            payload.lines.map(l, l.weight) => no such key `weight` in `l`
            payload.customer.mail => no such key `customer.mail` in `payload`
            payload.lines[7].sku == 'x' => no such index `lines[7]` in `payload`
            payload.none.x == 1 => `payload.none` is null
            payload.n.x == 1 => `payload.n` is a number, it has no key `x`
            payload.n + 'x' => `+` is not for an integer and a string
            payload.id > 1 => a string and an integer cannot be ordered
            1 / (payload.n - 7) => division by zero
            9223372036854775807 + payload.n => does not fit 64 bits
            1.0 / (payload.n - 7) => the result is inf
            {'a': 1, 'a': payload.n} => the key `a` is given twice
            {payload.none: 1} => a key of a map cannot be null
            payload.n in payload.n => `in` needs a list or an object
        "#,
        );
        let failure = eval("payload.customer.mail").unwrap_err();
        assert!(failure.missing && failure.kind == FailureKind::Fault);
    }

    #[test]
    fn a_condition_is_a_boolean() {
        let payload = payload();
        let mut scope = Scope::new();
        scope.bind("payload", &payload);
        let test =
            |source| Expression::compile(source, &names()).unwrap().test(&scope, &mut Budget::new(&Limits::default()));
        assert_eq!(test("payload.type == 'OrderPlaced'"), Ok(true));
        assert_eq!(test("payload.ok"), Ok(true));
        let failure = test("payload.n").unwrap_err();
        assert_eq!(failure.to_string(), "a condition must be true or false, it is an integer (in `payload.n`)");
    }

    #[test]
    fn a_wrong_name_or_function_is_a_mistake_with_a_hint() {
        let told = |source| {
            let mistake = mistake(source);
            (mistake.what, mistake.hint, mistake.at)
        };
        let told = |source| {
            let (what, hint, at) = told(source);
            (what, hint, at.unwrap_or(999))
        };
        assert_eq!(told("1 + paylod.x"), ("unknown name `paylod`".into(), "did you mean `payload`?".into(), 4));
        assert_eq!(told("'é' + totl"), ("unknown name `totl`".into(), "known here: payload, tables".into(), 6));
        assert_eq!(told("payload.lines.map(line, lien.qty)").1, "did you mean `line`?");
        assert_eq!(told("payload.first-name").1, "for a key with a dash write [\"first-name\"]");
        assert_eq!(told("siez(payload)").1, "did you mean `size`?");
        assert_eq!(told("payload.lines.fliter(x, x)").1, "did you mean `filter`?");
        assert_eq!(told("payload.lines.map(x)").1, "write `list.map(entry, value)`");
        assert_eq!(told("payload.lines.map(x.y, x)").1, "write `list.map(entry, value)`");
        assert_eq!(told("has(payload)").1, "write has(payload.key); for other keys: \"key\" in payload");
        assert_eq!(told("payload.id.matches('(')").0, "not a pattern: unclosed group");
        assert_eq!(told("trim(payload.id)").1, "write `x.trim()`");
        assert_eq!(told("1 / 0").0, "division by zero");
        assert_eq!(told("a.b{x: 1}").0, "messages are not part of the language here");
        assert_eq!(told("math.greatst(1)").1, "did you mean `math.greatest`?");
        assert_eq!(told("hmac(payload.id, \"partnr\")").0, "unknown secret `partnr`");
        assert_eq!(told("hmac(payload.id, \"partnr\")").1, "did you mean `partner`?");
        assert_eq!(told("hmac(payload.id, payload.cc)").0, "the name of a secret is written out");
        assert_eq!(told("hmac(payload.id)").0, "`hmac` takes 2 arguments, not 1");
        assert_eq!(told("payload.id.hmac(\"partner\")").0, "`hmac` is not written like this");
    }

    #[test]
    fn a_secret_that_nobody_read_is_taken_for_one_and_fails_when_it_is_used() {
        let names = Names::new(["payload"]).knowing(Secrets::Unread);
        let compiled = Expression::compile("hmac('x', 'any')", &names).unwrap();
        let failure = compiled.eval(&Scope::new(), &mut Budget::new(&Limits::default())).unwrap_err();
        assert_eq!(failure.what, "the secret of `hmac` was not read here");
        let none = Expression::compile("hmac('x', 'any')", &Names::new(["payload"])).unwrap_err();
        assert!(none.hint.starts_with("there are none here"), "{none}");
        let known = format!("{:?}", Expression::compile("hmac('x', 'partner')", &self::names()).unwrap());
        assert!(known.contains("Hmac") && !known.contains("key"), "{known}");
    }

    #[test]
    fn wrong_syntax_is_a_mistake_with_its_place() {
        let at = |source| {
            let mistake = mistake(source);
            (mistake.what, mistake.at)
        };
        assert_eq!(at("payload.n +"), ("the expression ends too early".into(), Some(11)));
        assert_eq!(at("payload.n = 1").1, Some(10));
        assert_eq!(mistake("payload.n = 1").hint, "write `==` to compare");
        assert_eq!(at("(payload.n"), ("`)` is missing".into(), Some(10)));
        assert_eq!(at("'é' + )"), ("unexpected `)`".into(), Some(6)));
        assert_eq!(at("payload.lines["), ("the expression is not complete".into(), Some(0)));
        assert_eq!(at("payload.n == 'x").0, "the string is not closed, or has an unknown escape");
        assert_eq!(at("payload.n => 1").0, "unexpected `=>`");
        assert_eq!(at("has()").0, "`has` is not written like this");
        assert_eq!(at("  ").0, "the expression is empty");
    }

    #[test]
    fn hostile_source_is_refused_within_bounds() {
        for source in [
            "[".repeat(2000),
            "(".repeat(40),
            format!("{}1{}", "[".repeat(33), "]".repeat(33)),
            "!".repeat(3000),
            "1+".repeat(1500) + "1",
            "a".repeat(5000),
            format!("'{}'", "x".repeat(5000)),
            "payload".to_string() + &".a()".repeat(900),
            "true?".repeat(500),
            "true||".repeat(600) + "true",
            "[[1].map(a,[1].map(b,[1].map(c,1)))]".to_string(),
            "1 ? ".repeat(300),
            "\u{0}\u{7f}".to_string(),
            "payload.?".repeat(200),
            "{".repeat(30),
            "'\\".to_string(),
            "\"\\u12".to_string(),
            "1.".repeat(40),
            "99999999999999999999".to_string(),
            "`".repeat(9),
            "/* ".to_string(),
            "payload.x ".repeat(50),
        ] {
            let shown: String = source.chars().take(30).collect();
            assert!(Expression::compile(&source, &names()).is_err(), "{shown}");
        }
    }

    #[test]
    fn the_deepest_that_is_allowed_runs_on_a_small_stack() {
        let deep = format!("{}payload.n{}", "(1 + ".repeat(31), ")".repeat(31));
        let long = vec!["payload.n"; 78].join(" + ");
        let work = move || (eval(&deep).unwrap(), eval(&long).unwrap());
        let small = std::thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap();
        assert_eq!(small.join().unwrap(), (json!(38), json!(78 * 7)));
    }

    #[test]
    fn what_multiplies_ends_at_the_limit_in_bounded_steps() {
        let limits = Limits { steps: 20_000, output_bytes: 100_000 };
        for source in [
            "lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))",
            "lists.range(1000000000).size() > 0",
            "lists.range(100).map(a, lists.range(100).map(b, lists.range(100)))",
            "cel.bind(s, 'aaaaaaaaaaaaaaaa', cel.bind(t, s.replace('', s), cel.bind(u, t.replace('', t), u.replace('', u)))) == ''",
            "lists.range(100).map(a, 'aaaaaaaaaaaaaaaaaaaa').join('bbbbbbbbbb').replace('a', 'cccccccccccccccc').replace('c', lists.range(999).join('-')) != ''",
            "lists.range(3000).map(a, payload).size() > 0 && lists.range(3000).map(a, json.string(payload)).join('').size() > 0",
            "lists.range(500).distinct().size() > 0 && lists.range(500).map(x, lists.range(500)).distinct().size() > 0",
            "lists.range(9999).map(x, 'k').sort().size() > 0",
            "lists.range(900).map(x, payload.id.matches(string(x) + '.*a{50}'))",
        ] {
            let failure = eval_within(source, &limits).expect_err(source);
            assert_eq!(failure.kind, FailureKind::Limit, "{source}: {failure}");
        }
        let failure = eval_within("lists.range(1000).map(a, payload)", &limits).unwrap_err();
        assert_eq!(failure.what, "more than 100000 bytes of output for one record");
    }

    #[test]
    fn a_limit_is_never_taken_back_by_a_logical_operator() {
        let limits = Limits { steps: 50, output_bytes: 1000 };
        for source in ["lists.range(99).size() > 0 || true", "lists.range(99).size() > 0 && false"] {
            assert_eq!(eval_within(source, &limits).unwrap_err().kind, FailureKind::Limit, "{source}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let number = prop_oneof![
            any::<i64>().prop_map(|n| n.to_string()),
            any::<u64>().prop_map(|n| n.to_string()),
            "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?",
        ];
        let number = number.prop_map(|text| serde_json::from_str(&text).unwrap());
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number,
            ".{0,12}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::vec(("[a-d]{1,2}", inner), 0..4)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    const SOURCES: &[&str] = &[
        "payload.a + payload.b",
        "payload.a * 2 - payload.b / payload.c",
        "payload.a == payload.b",
        "payload.a < payload.b",
        "payload.map(x, x)",
        "payload.a.exists(k, v, k == v)",
        "payload.transformList(k, v, [k, v])",
        "payload.?a.?b.orValue(payload)",
        "payload.a.sort()",
        "payload.a.distinct()",
        "payload.sortBy(x, payload[x])",
        "payload.a.sum()",
        "payload.a.max()",
        "json.string(payload)",
        "json.parse(json.string(payload)) == payload",
        "size(payload)",
        "string(payload.a)",
        "int(payload.a) + 1",
        "uint(payload.a)",
        "double(payload.a)",
        "payload.a.substring(1, 2)",
        "payload.a.split(payload.b)",
        "payload.a.replace(payload.b, payload.c)",
        "payload.a.lastIndexOf(payload.b, 1)",
        "payload.a.indexOf(payload.b, 1)",
        "payload.a.format([payload.b])",
        "'%s %s'.format([payload.a, payload.b])",
        "timestamp(payload.a)",
        "duration(payload.a)",
        "formatTime('2026-01-01T00:00:00Z', payload.a)",
        "timestamp(0).getHours(payload.a)",
        "payload.a.matches(payload.b)",
        "mask(payload.a, 2)",
        "mask(payload.a, payload.b)",
        "payload.a in payload.b",
        "-payload.a",
        "!payload.a",
        "payload.a ? 1 : 2",
        "math.abs(payload.a)",
        "math.round(payload.a)",
        "[payload.a, payload.b].flatten(9)",
        "payload.a[payload.b]",
        "payload.a.charAt(payload.b)",
        "payload.a.slice(0, payload.b)",
        "base64.decode(payload.a)",
        "urlEncode(payload.a)",
        "payload.a.join(payload.b)",
        "[payload.a, payload.b, payload.c].sort()",
        "timestamp(payload.a) - duration('1h')",
        "hmac(payload.a, 'partner')",
        "uuid5(payload.a, payload.b)",
        "uuid5('url', payload.b)",
    ];

    proptest! {
        #[test]
        fn any_json_in_no_panic_and_bounded(payload in any_json(), a in any_json(), b in any_json(), c in any_json()) {
            let whole = json!({"a": a, "b": b, "c": c});
            let limits = Limits { steps: 20_000, output_bytes: 100_000 };
            for payload in [&payload, &whole] {
                let mut scope = Scope::new();
                scope.bind("payload", payload);
                for compiled in compiled() {
                    let mut budget = Budget::new(&limits);
                    if let Ok(value) = compiled.eval(&scope, &mut budget) {
                        prop_assert!(value.to_string().len() <= 110_000);
                    }
                }
            }
        }

        #[test]
        fn a_path_copies_whatever_it_leads_to_exactly(value in any_json()) {
            let payload = json!({"a": [{"b": value}]});
            let mut scope = Scope::new();
            scope.bind("payload", &payload);
            let copied = Expression::compile("payload.a[0].b", &names()).unwrap().eval(&scope, &mut Budget::new(&Limits::default())).unwrap();
            prop_assert_eq!(copied.to_string(), value.to_string());
        }

        #[test]
        fn any_text_as_a_source_is_a_mistake_or_compiles(source in "[ a-c0-9.+*/()\\[\\]{}'\"?:,&|!<>=$\\\\é`-]{0,60}") {
            let names = Names::new(["a", "b", "c"]);
            if let Err(mistake) = Expression::compile(&source, &names) {
                prop_assert!(mistake.at.is_none_or(|at| at <= source.chars().count()), "{mistake:?}");
                prop_assert!(!mistake.what.is_empty());
            }
        }
    }

    fn compiled() -> &'static [Expression] {
        static COMPILED: std::sync::OnceLock<Vec<Expression>> = std::sync::OnceLock::new();
        COMPILED
            .get_or_init(|| SOURCES.iter().map(|source| Expression::compile(source, &names()).expect(source)).collect())
    }
}
