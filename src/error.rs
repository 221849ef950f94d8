//! The one public error: a small stable kind on which callers decide, the words for a person, and context as values.
//!
//! The text says what could not be done, to what, why, and what to do next. The source chain is printed by
//! whoever reports, never repeated inside the text. A kind decides the exit status and the gRPC code (the
//! table in the command line's contract).

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::units::Bytes;

/// A `Result` with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What sort of failure it is. Exactly the kinds that the command line promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An I/O error or a refusal by the kernel.
    Internal,
    /// A bad argument, size or name.
    Usage,
    /// The object does not exist.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// Not enough free extents, or no room in the metadata area.
    NoSpace,
    /// Open, mounted, merging, or being restored from.
    InUse,
    /// A volume group or device that must not be touched.
    Refused,
    /// Another process holds the lock and waiting was not wanted.
    Locked,
}

impl Kind {
    /// Every kind, in the order of the exit statuses.
    pub const ALL: [Self; 8] = [
        Self::Internal,
        Self::Usage,
        Self::NotFound,
        Self::AlreadyExists,
        Self::NoSpace,
        Self::InUse,
        Self::Refused,
        Self::Locked,
    ];

    /// The word that stands in JSON.
    pub const fn word(self) -> &'static str {
        self.row().0
    }

    /// The process's exit status.
    pub const fn exit_status(self) -> u8 {
        self.row().1
    }

    /// The gRPC status code that CSI asks for.
    pub const fn grpc_code(self) -> i32 {
        self.row().2
    }

    const fn row(self) -> (&'static str, u8, i32) {
        match self {
            Self::Internal => ("internal", 1, 13),
            Self::Usage => ("usage", 2, 3),
            Self::NotFound => ("not_found", 3, 5),
            Self::AlreadyExists => ("already_exists", 4, 6),
            Self::NoSpace => ("no_space", 5, 8),
            Self::InUse => ("in_use", 6, 9),
            Self::Refused => ("refused", 7, 9),
            Self::Locked => ("locked", 8, 10),
        }
    }
}

/// A value that says where an error happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Context {
    /// The block device.
    Device(PathBuf),
    /// The volume group.
    Vg(String),
    /// The logical volume.
    Lv(String),
    /// A byte offset on the device.
    Offset(Bytes),
    /// The step of a plan.
    Step(String),
    /// A line and column of a text.
    Position {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device {}", path.display()),
            Self::Vg(name) => write!(f, "volume group {name}"),
            Self::Lv(name) => write!(f, "volume {name}"),
            Self::Offset(at) => write!(f, "byte {}", at.get()),
            Self::Step(step) => write!(f, "step \"{step}\""),
            Self::Position { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

type Source = dyn std::error::Error + Send + Sync + 'static;

/// What went wrong. Boxed inside: a `Result` stays one word wide. It can be told to several who waited for the same thing.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: Kind,
    cause: String,
    doing: Option<String>,
    hint: Option<String>,
    context: Vec<Context>,
    source: Option<Arc<Source>>,
}

impl Error {
    /// An error of `kind`; `cause` says what was found, naming the object.
    pub fn new(kind: Kind, cause: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            cause: cause.into(),
            doing: None,
            hint: None,
            context: Vec::new(),
            source: None,
        }))
    }

    /// An [`Kind::Internal`] error with the error of the system below it.
    pub fn io(cause: impl Into<String>, source: impl Into<Box<Source>>) -> Self {
        Self::new(Kind::Internal, cause).with_source(source)
    }

    /// Says what was being done, as a verb phrase: `snapshot vg0/db`. The outermost word wins.
    #[must_use]
    pub fn doing(mut self, doing: impl Into<String>) -> Self {
        self.0.doing = Some(doing.into());
        self
    }

    /// Says what to do next. The first hint wins: it knows most.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Adds a value that says where.
    #[must_use]
    pub fn at(mut self, context: Context) -> Self {
        self.0.context.push(context);
        self
    }

    /// Keeps the error of the layer below.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<Source>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The way out, where there is one.
    pub fn way_out(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where it happened, innermost first.
    pub fn context(&self) -> &[Context] {
        &self.0.context
    }

    /// The text without the way out.
    pub fn message(&self) -> String {
        match &self.0.doing {
            Some(doing) => format!("cannot {doing}: {}", self.0.cause),
            None => self.0.cause.clone(),
        }
    }

    /// The source chain, outermost first, for whoever reports.
    pub fn chain(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut next = std::error::Error::source(self);
        while let Some(error) = next {
            texts.push(error.to_string());
            next = error.source();
        }
        texts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match &self.0.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_exit_status_and_grpc_code_of_the_contract() {
        let table: Vec<_> = Kind::ALL.iter().map(|k| (k.word(), k.exit_status(), k.grpc_code())).collect();
        let contract = [
            ("internal", 1, 13),
            ("usage", 2, 3),
            ("not_found", 3, 5),
            ("already_exists", 4, 6),
            ("no_space", 5, 8),
            ("in_use", 6, 9),
            ("refused", 7, 9),
            ("locked", 8, 10),
        ];
        assert_eq!(table, contract);
    }

    #[test]
    fn the_text_says_what_why_and_the_way_out() {
        let error = Error::new(Kind::NoSpace, "volume group vg0 has 12 MiB free, the COW store needs 1 GiB")
            .hint("free space, or give a smaller --size")
            .hint("a later hint is dropped")
            .doing("snapshot vg0/db");
        assert_eq!(
            error.to_string(),
            "cannot snapshot vg0/db: volume group vg0 has 12 MiB free, the COW store needs 1 GiB; \
             free space, or give a smaller --size"
        );
    }

    #[test]
    fn the_chain_lists_the_sources() {
        let error = Error::io("read failed", std::io::Error::other("bad sector"));
        assert_eq!(error.chain(), ["bad sector"]);
        assert_eq!(error.message(), "read failed");
    }
}
