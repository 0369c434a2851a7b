//! CSV (RFC 4180) as spreadsheets write it: rows of texts.
//!
//! A byte order mark is ignored, `\n` ends a row as `\r\n` does, empty lines are left out.

/// A row, and the line it begins at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// Its fields.
    pub(crate) fields: Vec<String>,
}

/// The rows of a text.
///
/// # Errors
/// The line, and what is wrong with it.
pub(crate) fn read(text: &str) -> Result<Vec<Row>, (usize, &'static str)> {
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut rows, mut line) = (Vec::new(), 1);
    while !rest.is_empty() {
        let mut row = Row { line, fields: Vec::new() };
        loop {
            let (field, after) = field(rest, &mut line)?;
            row.fields.push(field);
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => {
                    rest = after;
                    break;
                }
            }
        }
        rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
        line += 1;
        if row.fields.iter().any(|field| !field.is_empty()) || row.fields.len() > 1 {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// One field, and what stands behind it: a comma, the end of the row, nothing.
fn field<'t>(text: &'t str, line: &mut usize) -> Result<(String, &'t str), (usize, &'static str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find([',', '\n']).unwrap_or(text.len());
        let end = if text[..end].ends_with('\r') && text[end..].starts_with('\n') { end - 1 } else { end };
        let plain = &text[..end];
        return match plain.contains('"') {
            true => Err((*line, "a quote stands inside of a field that does not begin with one")),
            false => Ok((plain.to_owned(), &text[end..])),
        };
    };
    let (mut value, begun) = (String::new(), *line);
    loop {
        let Some(end) = rest.find('"') else { return Err((begun, "a quote is not closed")) };
        *line += rest[..end].matches('\n').count();
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(more) => {
                value.push('"');
                rest = more;
            }
            None if rest.is_empty() || rest.starts_with([',', '\n']) || rest.starts_with("\r\n") => {
                return Ok((value, rest));
            }
            None => return Err((*line, "something stands between a closing quote and the next comma")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
        read(text).unwrap().into_iter().map(|row| (row.line, row.fields)).collect()
    }

    #[test]
    fn quotes_commas_and_line_breaks_are_read_as_spreadsheets_write_them() {
        let text = "\u{feff}code,name\r\nNO,\"Norway, the \"\"north\"\"\"\r\n\r\n\"S\nE\",\nx,y";
        let wanted = [
            (1, vec!["code".to_owned(), "name".to_owned()]),
            (2, vec!["NO".to_owned(), "Norway, the \"north\"".to_owned()]),
            (4, vec!["S\nE".to_owned(), String::new()]),
            (6, vec!["x".to_owned(), "y".to_owned()]),
        ];
        assert_eq!(rows(text), wanted);
        assert!(rows("").is_empty() && rows("\n\r\n").is_empty());
    }

    #[test]
    fn what_is_broken_says_in_which_line() {
        assert_eq!(read("a\n\"b\nc").unwrap_err(), (2, "a quote is not closed"));
        assert_eq!(read("a\nb\"c").unwrap_err().0, 2);
        assert_eq!(read("\"a\nb\"c").unwrap_err().0, 2);
    }

    proptest! {
        #[test]
        fn what_is_written_by_the_rules_comes_back(
            table in proptest::collection::vec(proptest::collection::vec("[a-z\",\r\n é]{0,6}", 2..4), 0..5),
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
            let text = table.iter().map(line).collect::<Vec<_>>().join("\r\n");
            let read: Vec<Vec<String>> = read(&text).unwrap().into_iter().map(|row| row.fields).collect();
            prop_assert_eq!(read, table);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[a\",\r\n\u{feff}]{0,20}") {
            drop(read(&text));
        }
    }
}
