//! What may be asked.

use std::path::PathBuf;

use clap::{Args, ColorChoice, Parser, Subcommand};

/// Shows, searches, sends and draws MLflow traces.
///
/// Reads the tracking server that MLFLOW_TRACKING_URI or --tracking-uri names, or else the files that programs write
/// where neither is set, in ./mlflow-traces.
#[derive(Debug, Parser)]
#[command(name = "mlflow-trace", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Tracking server, instead of MLFLOW_TRACKING_URI
    #[arg(short = 'u', long, global = true, value_name = "URI")]
    pub(crate) tracking_uri: Option<String>,
    /// Files of programs that recorded without a server, instead of a server
    #[arg(
        short,
        long,
        global = true,
        value_name = "DIR",
        conflicts_with = "tracking_uri"
    )]
    pub(crate) directory: Option<String>,
    /// Experiment by name or id, instead of MLFLOW_EXPERIMENT_NAME and MLFLOW_EXPERIMENT_ID; may be given more than once
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) experiment: Vec<String>,
    /// Any option of docs/options.md, for instance http.timeout_ms=60000
    #[arg(long = "set", global = true, value_name = "OPTION=VALUE")]
    pub(crate) options: Vec<String>,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a trace: its spans as a tree
    Show(Show),
    /// Print the latest traces
    List(List),
    /// Print the traces that match a filter, for instance "status = 'ERROR' AND tags.env = 'prod'"
    Search(Search),
    /// Print traces as they arrive, until interrupted
    Tail(Tail),
    /// Upload the files of programs that recorded without a server; what was sent before is not sent again
    Send(Send),
    /// Look at what waits on disk for its server, or send it
    Spool(Spool),
    /// Check the configuration and the server, and say what to do
    Doctor,
    /// Draw traces on one HTML page that needs nothing else
    View(View),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Id of the trace
    #[arg(value_name = "TRACE")]
    pub(crate) trace: String,
    /// Print inputs, outputs, attributes and events of every span as well
    #[arg(short, long)]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// At most so many; 0 is all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// MLflow's filter; files know name, time, status, tags and metadata
    #[arg(value_name = "FILTER")]
    pub(crate) filter: String,
    /// For instance "execution_time DESC"; may be given more than once
    #[arg(long, value_name = "ORDER")]
    pub(crate) order_by: Vec<String>,
    /// At most so many; 0 is all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// Print so many of those that are there first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    pub(crate) lines: usize,
    /// Seconds between looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0)]
    pub(crate) interval: f64,
}

#[derive(Debug, Args)]
pub(crate) struct View {
    /// Id of a trace, a directory with files of traces, or a file with traces as JSON; the latest traces by default
    #[arg(value_name = "TRACE|PATH")]
    pub(crate) what: Option<String>,
    /// Where to write the page; - is standard output
    #[arg(short, long, value_name = "FILE", default_value = "trace.html")]
    pub(crate) output: PathBuf,
    /// At most so many traces; 0 is all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Send {
    /// Directory with the files; ./mlflow-traces by default, or what option file.directory says
    #[arg(value_name = "DIR")]
    pub(crate) source: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Spool {
    #[command(subcommand)]
    pub(crate) command: SpoolCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Print what the spool's directory holds; option spool.dir says which
    Status,
    /// Try dead letters again, and deliver what dead processes left for the configured server
    Replay(Replay),
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Names of dead letters; all by default
    #[arg(value_name = "LETTER")]
    pub(crate) letters: Vec<String>,
    /// Seconds to wait for the server
    #[arg(long, value_name = "SECONDS", default_value_t = 60.0)]
    pub(crate) timeout: f64,
}
