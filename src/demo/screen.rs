//! The live table: redrawn on a terminal, a line a second elsewhere.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use super::{
    check::Checked,
    latency::Percentiles,
    metrics::Work,
    options::DemoOutput,
    record::{COMMANDS, Totals, Way},
    report::commands,
    samples::Sample,
};

/// Lines between two heads where lines are not redrawn.
const LINES_A_HEAD: usize = 20;
const BAR: usize = 24;

/// What `--kill` has shown so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Killed {
    pub(super) kills: u64,
    /// The last comparison of all logs with all twins, if there was one.
    pub(super) checked: Option<Checked>,
    /// Whether the engine answers.
    pub(super) is_up: bool,
}

/// What there is to show in one second.
#[derive(Clone, Debug, Default)]
pub(super) struct Second {
    pub(super) elapsed: f64,
    pub(super) messages_per_second: f64,
    pub(super) totals: Totals,
    pub(super) times: Option<Percentiles>,
    pub(super) work: Option<Work>,
    pub(super) killed: Option<Killed>,
    pub(super) samples: Vec<Sample>,
}

/// Where the table goes.
#[derive(Debug)]
pub(super) struct Screen {
    output: DemoOutput,
    redraws: bool,
    /// Lines of the table that is there.
    drawn: usize,
    lines: usize,
}

impl Screen {
    pub(super) fn new(output: DemoOutput) -> Self {
        Self { output, redraws: io::stdout().is_terminal(), drawn: 0, lines: 0 }
    }

    /// Text for people, above and below the table; nothing for programs. `false`: nobody reads.
    pub(super) fn say(&mut self, text: &str) -> bool {
        self.drawn = 0;
        self.output != DemoOutput::Table || write(text)
    }

    /// The object for programs.
    pub(super) fn object(&self, json: &str) {
        if self.output == DemoOutput::Json {
            write(json);
        }
    }

    /// Shows a second. `false`: nobody reads.
    pub(super) fn show(&mut self, second: &Second) -> bool {
        if self.output != DemoOutput::Table {
            return true;
        }
        if self.redraws {
            let table = table(second);
            let back = match self.drawn {
                0 => String::new(),
                lines => format!("\x1b[{lines}A\x1b[J"),
            };
            self.drawn = table.lines().count();
            return write(&format!("{back}{table}"));
        }
        let is_due = self.lines.is_multiple_of(LINES_A_HEAD);
        let head = if is_due { head(second) } else { String::new() };
        self.lines += 1;
        write(&format!("{head}{}", line(second)))
    }
}

/// Writes to standard output; `false`: nobody reads it any more.
fn write(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

fn milliseconds(times: Option<Percentiles>) -> (String, String) {
    let ms = |micros: u64| format!("{:.1}", micros as f64 / 1000.0);
    times.map_or(("-".into(), "-".into()), |times| (ms(times.p50_us), ms(times.p99_us)))
}

/// Twins, messages per call, epochs a second.
fn engine(work: Option<Work>) -> [String; 3] {
    work.map_or(["-".into(), "-".into(), "-".into()], |work| {
        let Work { twins, messages_per_call, epochs_per_second } = work;
        [twins.to_string(), format!("{messages_per_call:.2}"), format!("{epochs_per_second:.0}")]
    })
}

fn head(second: &Second) -> String {
    let mqtt = if second.totals.by_broker > 0 { "  by MQTT" } else { "" };
    let killed = if second.killed.is_some() { "  kills  applied   lost" } else { "" };
    format!(
        "    s   msg/s    acked{mqtt}  twins  msg/call  epoch/s  p50 ms  p99 ms  brake  alarm   \
         dead{killed}\n"
    )
}

fn line(second: &Second) -> String {
    let Second { elapsed, messages_per_second, totals, .. } = second;
    let [twins, calls, epochs] = engine(second.work);
    let (p50, p99) = milliseconds(second.times);
    let (brakes, alarms) = (totals.commands[0], totals.commands[1] + totals.commands[2]);
    let (acked, dead) = (totals.acknowledged, totals.dead_letters);
    let mqtt = match totals.by_broker {
        0 => String::new(),
        by_broker => format!(" {by_broker:>8}"),
    };
    let mut line = format!(
        "{elapsed:>5.0} {messages_per_second:>7.0} {acked:>8}{mqtt} {twins:>6} {calls:>9} \
         {epochs:>8} {p50:>7} {p99:>7} {brakes:>6} {alarms:>6} {dead:>6}"
    );
    if let Some(Killed { kills, checked, .. }) = second.killed {
        let (applied, lost) = checked.map_or(("-".into(), "-".into()), |checked| {
            (checked.applied.to_string(), checked.lost.to_string())
        });
        let written = write!(line, " {kills:>6} {applied:>8} {lost:>6}");
        written.expect("writing to a string never fails");
    }
    line.push('\n');
    line
}

fn table(second: &Second) -> String {
    let Second { elapsed, messages_per_second, totals, .. } = second;
    let [twins, calls, epochs] = engine(second.work);
    let (p50, p99) = milliseconds(second.times);
    let (ways, of) = ways(totals);
    let mut text = format!(
        "\n  {elapsed:.0} s\n\n  \
         messages/s     {messages_per_second:>9.0}    twins          {twins:>9}\n  \
         acknowledged   {:>9}    messages/call  {calls:>9}\n  \
         dead letters   {:>9}    epochs/s       {epochs:>9}\n  \
         {ways}\
         to acknowledgement    p50 {p50} ms, p99 {p99} ms{of}\n  \
         commands              {}\n\n",
        totals.acknowledged,
        totals.dead_letters,
        commands(&totals.commands),
    );
    for sample in &second.samples {
        let row = row(sample, totals.by_broker > 0);
        text.push_str(&row);
    }
    if let Some(Killed { kills, checked, is_up }) = second.killed {
        let engine = if is_up { "up" } else { "killed, starting again" };
        let known = checked.map_or("not compared yet".into(), |checked| {
            format!("applied {}, lost {}", checked.applied, checked.lost)
        });
        let written = writeln!(text, "\n  engine {engine}; {kills} kills; {known}");
        written.expect("writing to a string never fails");
    }
    text
}

/// Who acknowledged, where a broker does it, too; and what the times are of.
fn ways(totals: &Totals) -> (String, &'static str) {
    let Totals { acknowledged, by_broker, .. } = *totals;
    if by_broker == 0 {
        return (String::new(), "");
    }
    let by_engine = acknowledged - by_broker;
    let ways = format!("by the engine  {by_engine:>9}    by the broker  {by_broker:>9}\n  ");
    (ways, " over HTTP")
}

fn row(sample: &Sample, shows_way: bool) -> String {
    let Sample { id, way, value, unit, full, doing } = sample;
    let way = match way {
        _ if !shows_way => "",
        Way::Http => "HTTP ",
        Way::Mqtt => "MQTT ",
    };
    let share = (value / full).clamp(0.0, 1.0);
    let filled = "#".repeat((share * BAR as f64).round() as usize);
    format!("  {id:<13} {value:>6.1} {unit:<3} [{filled:<BAR$}] {way}{doing}\n")
}

const _: () = assert!(COMMANDS.len() == 5, "the line adds alarms and shutdowns by their place");

#[cfg(test)]
mod tests {
    use super::*;

    fn second() -> Second {
        let work = Work { twins: 1000.0, messages_per_call: 1.125, epochs_per_second: 300.4 };
        let sample = Sample {
            id: "turbine-0000".into(),
            way: Way::Mqtt,
            value: 60.0,
            unit: "C",
            full: 120.0,
            doing: "braking",
        };
        Second {
            elapsed: 7.2,
            messages_per_second: 2001.0,
            totals: Totals { acknowledged: 14_000, dead_letters: 3, ..Totals::default() },
            times: Some(Percentiles { p50_us: 1500, p99_us: 9000 }),
            work: Some(work),
            killed: Some(Killed { kills: 1, checked: None, is_up: true }),
            samples: vec![sample],
        }
    }

    #[test]
    fn a_line_stands_under_its_head() {
        let (head, line) = (head(&second()), line(&second()));
        assert_eq!(head.len(), line.len(), "{head}{line}");
        let plain = Second { killed: None, ..second() };
        assert_eq!(self::head(&plain).len(), self::line(&plain).len());
        let totals = Totals { by_broker: 7_000, ..plain.totals.clone() };
        let mqtt = Second { totals, ..plain.clone() };
        assert_eq!(self::head(&mqtt).len(), self::line(&mqtt).len());
        let away = Second { work: None, times: None, ..plain };
        assert_eq!(self::head(&away).len(), self::line(&away).len());
    }

    #[test]
    fn a_table_has_bars() {
        let table = table(&second());
        assert!(table.contains("60.0 C   [############            ] braking\n"), "{table}");
        assert!(table.contains("p50 1.5 ms, p99 9.0 ms"), "{table}");
        assert!(table.contains("1 kills; not compared yet"), "{table}");
        assert!(!table.contains("MQTT") && !table.contains("broker"), "{table}");
    }

    #[test]
    fn a_table_says_who_acknowledged_where_a_broker_does_it_too() {
        let totals = Totals { by_broker: 6_000, ..second().totals };
        let table = table(&Second { totals, ..second() });
        let ways = "  by the engine       8000    by the broker       6000\n  to acknowledgement";
        assert!(table.contains(ways), "{table}");
        assert!(table.contains("p99 9.0 ms over HTTP\n"), "{table}");
        assert!(table.contains("] MQTT braking\n"), "{table}");
    }
}
