//! What an error of the engine is to a caller.
//!
//! The code follows from the kind, by the table in [`crate::error`]; `details` stays empty, as the standard asks.

use tonic::{Code, Status};

use crate::error::Error;

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let text = [vec![error.to_string()], error.chain()].concat().join(": ");
        Self::new(Code::from_i32(error.kind().grpc_code()), text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn each_kind_has_its_code_and_every_status_has_words_and_no_details() {
        let table = [
            (Kind::Internal, Code::Internal),
            (Kind::Usage, Code::InvalidArgument),
            (Kind::NotFound, Code::NotFound),
            (Kind::AlreadyExists, Code::AlreadyExists),
            (Kind::NoSpace, Code::ResourceExhausted),
            (Kind::InUse, Code::FailedPrecondition),
            (Kind::Refused, Code::FailedPrecondition),
            (Kind::Locked, Code::Aborted),
        ];
        assert_eq!(table.map(|(kind, _)| kind), Kind::ALL);
        for (kind, code) in table {
            let status = Status::from(Error::new(kind, "vg0/db is odd").hint("look at it"));
            assert_eq!((status.code(), status.message()), (code, "vg0/db is odd; look at it"));
            assert!(status.details().is_empty());
        }
    }

    #[test]
    fn the_sources_are_told() {
        let error = Error::io("vg0/db cannot be read", std::io::Error::other("bad sector"));
        assert_eq!(Status::from(error).message(), "vg0/db cannot be read: bad sector");
    }
}
