//! How requests are authorised: the table of schemes. Each gives one header, made once and marked as sensitive.

mod basic;
mod bearer;
mod header;

use crate::deliver::error::TargetError;
use crate::model::subscription::Auth;
use http::{HeaderName, HeaderValue};

/// The header that `auth` adds to every request.
///
/// # Errors
/// [`TargetError`] when it cannot be sent; never names the secret.
pub fn header(auth: &Auth) -> Result<(HeaderName, HeaderValue), TargetError> {
    let (name, mut value) = match auth {
        Auth::Bearer(token) => bearer::header(token)?,
        Auth::Basic { username, password } => basic::header(username, password)?,
        Auth::Header { name, value } => header::header(name, value)?,
    };
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::Secret;

    #[test]
    fn every_scheme_gives_its_header_and_hides_it() {
        let basic = Auth::Basic { username: "Aladdin".into(), password: Secret::new("open sesame") };
        let own = Auth::Header { name: "X-Key".into(), value: Secret::new("k1") };
        for (auth, name, expected) in [
            (Auth::Bearer(Secret::new("t.o-k")), "authorization", "Bearer t.o-k"),
            (basic, "authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (own, "x-key", "k1"),
        ] {
            let (header, value) = header(&auth).unwrap();
            assert_eq!((header.as_str(), value.to_str().unwrap()), (name, expected));
            assert!(value.is_sensitive() && format!("{value:?}") == "Sensitive");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused_without_telling_it() {
        let refused = [
            Auth::Bearer(Secret::new("hunter2\r\nx: y")),
            Auth::Bearer(Secret::new("")),
            Auth::Basic { username: "hunter2:".into(), password: Secret::new("p") },
            Auth::Header { name: "host".into(), value: Secret::new("hunter2") },
            Auth::Header { name: "x-key".into(), value: Secret::new("hunter2\n") },
        ];
        for auth in refused {
            assert!(!header(&auth).unwrap_err().to_string().contains("hunter2"), "{auth:?}");
        }
    }
}
