//! Lists in pages.
//!
//! A token names the last object of the page before, so that pages neither repeat nor leave out what is there throughout, whatever comes
//! and goes meanwhile.

use tonic::Status;

const AFTER: &str = "after:";

/// The page that is asked for of what is ordered by `id`, and the token of the next one, if there is one.
pub fn page<T>(
    all: Vec<T>,
    id: impl Fn(&T) -> &str,
    max_entries: i32,
    token: &str,
) -> Result<(Vec<T>, String), Status> {
    let most = usize::try_from(max_entries).map_err(|_| {
        Status::invalid_argument(format!("max_entries is {max_entries}: give 0 for all, or more"))
    })?;
    let after = match token {
        "" => None,
        token => Some(token.strip_prefix(AFTER).ok_or_else(|| {
            Status::aborted(format!("{token:?} is no token of this driver; begin the list anew without one"))
        })?),
    };
    let mut rest: Vec<_> = all.into_iter().filter(|one| after.is_none_or(|after| id(one) > after)).collect();
    if most == 0 || rest.len() <= most {
        return Ok((rest, String::new()));
    }
    rest.truncate(most);
    let token = rest.last().map(|last| format!("{AFTER}{}", id(last))).unwrap_or_default();
    Ok((rest, token))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paged(all: &[&'static str], most: i32, token: &str) -> Result<(Vec<&'static str>, String), Status> {
        page(all.to_vec(), |one| one, most, token)
    }

    #[test]
    fn pages_follow_each_other_whatever_goes_meanwhile() {
        let (first, token) = paged(&["a", "b", "c", "d"], 2, "").unwrap();
        assert_eq!(first, ["a", "b"]);
        assert_eq!(paged(&["a", "c", "d"], 2, &token).unwrap(), (vec!["c", "d"], String::new()));
        assert_eq!(paged(&["a"], 2, &token).unwrap().0, Vec::<&str>::new());
        assert_eq!(paged(&["a", "b"], 0, "").unwrap(), (vec!["a", "b"], String::new()));
    }

    #[test]
    fn a_bad_token_is_aborted_and_a_negative_number_invalid() {
        assert_eq!(paged(&["a"], 1, "7").unwrap_err().code(), tonic::Code::Aborted);
        assert_eq!(paged(&["a"], -1, "").unwrap_err().code(), tonic::Code::InvalidArgument);
    }
}
