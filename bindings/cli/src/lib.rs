//! The command `mlflow-trace`, which the Python and Node packages carry as well: they call [`run`].

mod arguments;
mod doctor;
mod ledger;
mod list;
mod output;
mod reading;
mod send;
mod show;
mod spool;
mod store;
mod tail;
mod tree;
mod view;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use mlflow_trace_core::{Error, ErrorKind};

use arguments::{Arguments, Command};
use output::{Output, visible};
use store::Store;

/// What a command came to: nothing, or why it could not.
type Outcome = Result<(), Failure>;

/// Why a command could not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// The engine or the server said so.
    Trace(Error),
    /// Writing failed; a closed pipe is no failure.
    Output(std::io::Error),
    /// What was asked for is wrong.
    Usage(String),
    /// Not all of it could be done, as was printed.
    Incomplete,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Trace(error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Output(error)
    }
}

/// Runs the command with these arguments, of which the first is the program's name, and returns its exit code: 0, 1 for
/// what could not be done, 2 for what was not understood, 3 for what was not found.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Where nothing can be printed, the code has to say it.
            let _ = error.print();
            return if error.use_stderr() { 2 } else { 0 };
        }
    };
    let mut output = Output::new(&arguments.common);
    let (code, message) = match execute(&arguments, &mut output) {
        Ok(()) => return 0,
        Err(Failure::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => return 0,
        Err(Failure::Output(error)) => (1, error.to_string()),
        Err(Failure::Usage(message)) => (2, message),
        Err(Failure::Incomplete) => return 1,
        Err(Failure::Trace(error)) => match error.kind() {
            ErrorKind::NotFound => (3, error.to_string()),
            ErrorKind::InvalidArgument | ErrorKind::InvalidConfig | ErrorKind::InvalidFilter => {
                (2, error.to_string())
            }
            _ => (1, error.to_string()),
        },
    };
    let _ = writeln!(std::io::stderr(), "mlflow-trace: {}", visible(&message));
    code
}

fn execute(arguments: &Arguments, output: &mut Output) -> Outcome {
    let store = Store::new(&arguments.common)?;
    match &arguments.command {
        Command::Show(show) => show::run(show, &store, output),
        Command::List(list) => list::run(list, &store, output),
        Command::Search(search) => list::search(search, &store, output),
        Command::Tail(tail) => tail::run(tail, &store, output),
        Command::Send(send) => send::run(send, &arguments.common, &store, output),
        Command::Spool(spool) => spool::run(spool, &store, output),
        Command::Doctor => doctor::run(&store, output),
        Command::View(view) => view::run(view, &store, output),
    }
}
