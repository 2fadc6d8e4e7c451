//! The one table of error kinds. Every face (C status, Python exception, Node `code`) maps it totally.

use std::fmt;

/// What went wrong, as a stable number.
///
/// Numbers are part of the C ABI: once given they are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum ErrorKind {
    /// A null pointer, a bad length, invalid UTF-8 in a key, a malformed header.
    InvalidArgument = 1,
    /// An unknown option, or a value outside its range.
    InvalidConfig = 2,
    /// The span has ended, the handle is stale, or the tracer was shut down.
    InvalidState = 3,
    /// A bound was reached and the item was dropped (and counted).
    Capacity = 4,
    /// A flush or shutdown reached its time limit.
    Timeout = 5,
    /// The server could not be reached; trying again may help.
    Transport = 6,
    /// The server refused for good.
    Rejected = 7,
    /// The caller's buffer is too short; the needed length was written.
    BufferTooSmall = 8,
    /// Not available with this configuration, server or platform.
    Unsupported = 9,
    /// A fault of this library, contained.
    Internal = 10,
    /// A panic of this library, caught at the boundary.
    Panic = 11,
    /// The named object does not exist.
    NotFound = 12,
    /// The experiment is deleted: restore it or choose another.
    Deleted = 13,
    /// A filter or an order of a search that is not understood; the message is the server's.
    InvalidFilter = 14,
    /// The server does not accept the credentials; they may have expired.
    Unauthorized = 15,
    /// What answered is no MLflow server, or one that is broken: a page, or a reply without what was asked for.
    BadReply = 16,
    /// Stored data that cannot be read, for instance a file that was written by half.
    Damaged = 17,
}

impl ErrorKind {
    /// Every kind, in numeric order.
    pub const ALL: [ErrorKind; 17] = [
        ErrorKind::InvalidArgument,
        ErrorKind::InvalidConfig,
        ErrorKind::InvalidState,
        ErrorKind::Capacity,
        ErrorKind::Timeout,
        ErrorKind::Transport,
        ErrorKind::Rejected,
        ErrorKind::BufferTooSmall,
        ErrorKind::Unsupported,
        ErrorKind::Internal,
        ErrorKind::Panic,
        ErrorKind::NotFound,
        ErrorKind::Deleted,
        ErrorKind::InvalidFilter,
        ErrorKind::Unauthorized,
        ErrorKind::BadReply,
        ErrorKind::Damaged,
    ];

    /// The stable number; never 0, which means success in C.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// The name in camel case, for instance `InvalidArgument`.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "InvalidArgument",
            ErrorKind::InvalidConfig => "InvalidConfig",
            ErrorKind::InvalidState => "InvalidState",
            ErrorKind::Capacity => "Capacity",
            ErrorKind::Timeout => "Timeout",
            ErrorKind::Transport => "Transport",
            ErrorKind::Rejected => "Rejected",
            ErrorKind::BufferTooSmall => "BufferTooSmall",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Internal => "Internal",
            ErrorKind::Panic => "Panic",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::Deleted => "Deleted",
            ErrorKind::InvalidFilter => "InvalidFilter",
            ErrorKind::Unauthorized => "Unauthorized",
            ErrorKind::BadReply => "BadReply",
            ErrorKind::Damaged => "Damaged",
        }
    }

    /// The name in upper snake case, for instance `INVALID_ARGUMENT`.
    pub fn screaming(self) -> &'static str {
        match self {
            ErrorKind::InvalidArgument => "INVALID_ARGUMENT",
            ErrorKind::InvalidConfig => "INVALID_CONFIG",
            ErrorKind::InvalidState => "INVALID_STATE",
            ErrorKind::Capacity => "CAPACITY",
            ErrorKind::Timeout => "TIMEOUT",
            ErrorKind::Transport => "TRANSPORT",
            ErrorKind::Rejected => "REJECTED",
            ErrorKind::BufferTooSmall => "BUFFER_TOO_SMALL",
            ErrorKind::Unsupported => "UNSUPPORTED",
            ErrorKind::Internal => "INTERNAL",
            ErrorKind::Panic => "PANIC",
            ErrorKind::NotFound => "NOT_FOUND",
            ErrorKind::Deleted => "DELETED",
            ErrorKind::InvalidFilter => "INVALID_FILTER",
            ErrorKind::Unauthorized => "UNAUTHORIZED",
            ErrorKind::BadReply => "BAD_REPLY",
            ErrorKind::Damaged => "DAMAGED",
        }
    }
}

/// An error of configuration or life cycle. Recording calls return only an [`ErrorKind`].
#[derive(Clone, Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    reply: Option<Reply>,
}

/// What a server answered instead.
#[derive(Clone, Debug)]
struct Reply {
    status: u16,
    code: String,
}

impl Error {
    /// Makes an error; `message` is lower case, without a full stop, and names the option or field.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error {
            kind,
            message: message.into(),
            reply: None,
        }
    }

    /// The same, told by a server with an HTTP status and perhaps a code of its own.
    pub(crate) fn replied(self, status: u16, code: &str) -> Self {
        let code = code.to_owned();
        let reply = Some(Reply { status, code });
        Error { reply, ..self }
    }

    /// The kind, for programs.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The text, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The HTTP status of the server's reply; `None` where the error is not a reply's.
    pub fn http_status(&self) -> Option<u16> {
        self.reply.as_ref().map(|reply| reply.status)
    }

    /// MLflow's code in that reply, for instance `RESOURCE_DOES_NOT_EXIST`; `None` where it has none.
    pub fn server_code(&self) -> Option<&str> {
        let code = self.reply.as_ref()?.code.as_str();
        Some(code).filter(|code| !code.is_empty())
    }

    /// Whether the same call may succeed later without any change by the program: credentials may be renewed where they
    /// are read.
    pub fn retryable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Transport
                | ErrorKind::Timeout
                | ErrorKind::Capacity
                | ErrorKind::Unauthorized
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The result of configuration and life-cycle calls.
pub type Result<T> = std::result::Result<T, Error>;

/// The result of recording calls: no allocation, and safe to ignore.
pub type Recorded = std::result::Result<(), ErrorKind>;
