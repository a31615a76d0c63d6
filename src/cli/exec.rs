//! `tenure exec`: a command beside a task, with its ends here: what is typed, what is written, its exit code.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::connection::{Connection, with_query};
use super::kinds::Catalog;
use crate::api::exec::{End, Frame, Size};

/// Arguments of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Pass on what is typed
    #[arg(short = 'i', long)]
    pub stdin: bool,
    /// With a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Beside which task: NAME or task/NAME
    pub task: String,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<String>,
}

/// The longest piece that is sent.
const PIECE: usize = 16 * 1024;

pub(super) async fn run(connection: &Connection, args: &ExecArgs) -> anyhow::Result<ExitCode> {
    let catalog = Catalog::load(connection).await?;
    let tasks = catalog.find("tasks.tenure.dev")?;
    let name = args.task.strip_prefix("task/").or(args.task.strip_prefix("tasks/")).unwrap_or(&args.task);
    if name.is_empty() || name.contains('/') {
        bail!("{:?} must be a task: NAME or task/NAME", args.task);
    }
    let flag = |on: bool| on.then_some("true");
    let is_terminal = args.tty && std::io::stdin().is_terminal();
    if args.tty && !is_terminal {
        super::print::note("standard input is no terminal: the command gets one all the same, of no size");
    }
    let mut query = vec![("tty", flag(args.tty)), ("stdin", flag(args.stdin))];
    query.extend(args.command.iter().map(|part| ("command", Some(part.as_str()))));
    let path = format!("{}/exec", tasks.path(Some(&connection.namespace), Some(name)));
    let line = connection.upgrade(&with_query(&path, &query)).await?;
    let _raw = is_terminal.then(Raw::enter).transpose()?;
    talk(line, args.stdin, is_terminal).await
}

/// Passes everything on until the command has ended; its exit code.
async fn talk(line: impl AsyncRead + AsyncWrite, stdin: bool, is_terminal: bool) -> anyhow::Result<ExitCode> {
    let (mut from, mut to) = tokio::io::split(Box::pin(line));
    if is_terminal {
        send_size(&mut to).await?;
    }
    let mut come = Vec::with_capacity(PIECE);
    let resized = signal(SignalKind::window_change()).context("failed to listen to signals")?;
    tokio::select! {
        biased;
        end = heard(&mut from, &mut come) => end,
        // A line that takes nothing more may still tell how it ended.
        Err(_) = typed(&mut to, resized, stdin, is_terminal) => heard(&mut from, &mut come).await,
    }
}

/// Passes on what is typed and how large the terminal is, for ever.
async fn typed(
    to: &mut (impl AsyncWrite + Unpin),
    mut resized: Signal,
    stdin: bool,
    is_terminal: bool,
) -> std::io::Result<Infallible> {
    let mut typed = stdin.then(keyboard);
    loop {
        let piece = async {
            match &mut typed {
                Some(typed) => typed.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(()) = resized.recv(), if is_terminal => send_size(to).await?,
            piece = piece => match piece {
                Some(piece) => send(to, &Frame::Stdin(piece)).await?,
                None => {
                    typed = None;
                    send(to, &Frame::StdinEnds).await?;
                }
            },
        }
    }
}

/// What comes from standard input. It is read on a thread that nobody waits for: a read of a terminal ends when it likes.
fn keyboard() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = std::io::stdin().read(&mut piece) {
            if sender.blocking_send(piece[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Writes what comes, to the end. `come` is what has come of a frame that is not whole yet.
async fn heard(from: &mut (impl AsyncRead + Unpin), come: &mut Vec<u8>) -> anyhow::Result<ExitCode> {
    loop {
        match frame(from, come).await? {
            Some(Frame::Stdout(bytes)) => {
                let mut out = std::io::stdout().lock();
                out.write_all(&bytes)?;
                out.flush()?;
            }
            Some(Frame::Stderr(bytes)) => std::io::stderr().lock().write_all(&bytes)?,
            Some(Frame::End(End::ExitCode(code))) => {
                return Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)));
            }
            Some(Frame::End(End::Failed(why))) => bail!("{why}"),
            Some(Frame::Stdin(_) | Frame::StdinEnds | Frame::Size(_)) => {}
            None => bail!("the line to the command broke: nobody knows how it ended"),
        }
    }
}

/// The next frame; nothing at the end of the line. `come` is what has come of the one after it.
async fn frame(from: &mut (impl AsyncRead + Unpin), come: &mut Vec<u8>) -> std::io::Result<Option<Frame>> {
    loop {
        let frame = Frame::take(come)?;
        if frame.is_some() || from.read_buf(come).await? == 0 {
            return Ok(frame);
        }
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), frame: &Frame) -> std::io::Result<()> {
    to.write_all(&frame.encode()?).await?;
    to.flush().await
}

async fn send_size(to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let size = tcgetwinsize(std::io::stdin())?;
    send(to, &Frame::Size(Size { width: size.ws_col, height: size.ws_row })).await
}

/// The terminal passes everything on as it is typed, until this is dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> anyhow::Result<Raw> {
        let before = tcgetattr(std::io::stdin()).context("the terminal does not tell how it is set")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Now, &raw).context("the terminal cannot be set")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}
