//! Pictures of results as SVG, a text format that needs no library: a table of ratios and the
//! distribution of latencies.
//!
//! Estimate: none; nothing is drawn while a clock runs.

use std::fmt::Write;
use std::path::Path;

use crate::Result;
use crate::latency::Histogram;

/// Colours of curves, told apart in print, too.
const COLOURS: [&str; 5] = ["#1b6ca8", "#d1495b", "#3a7d44", "#8d6a9f", "#555555"];
const STYLE: &str = "font-family=\"sans-serif\" font-size=\"13\"";

/// A picture that is being drawn.
struct Picture {
    width: f64,
    height: f64,
    body: String,
}

impl Picture {
    fn new(width: f64, height: f64) -> Self {
        Self { width, height, body: String::new() }
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        self.body.write_fmt(element).expect("writing to memory does not fail");
        self.body.push('\n');
    }

    /// Text at a place: `start`, `middle` or `end` of it.
    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.add(format_args!(
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.add(format_args!(
            r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#cccccc"/>"##,
            from.0, from.1, to.0, to.1
        ));
    }

    fn curve(&mut self, points: &[(f64, f64)], colour: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.add(format_args!(
            r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
            points.join(" ")
        ));
    }

    fn cell(&mut self, x: f64, y: f64, size: (f64, f64), colour: &str) {
        self.add(format_args!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
            size.0, size.1
        ));
    }

    fn finish(self) -> String {
        let Self { width, height, body } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" {STYLE}>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{body}</svg>\n"
        )
    }
}

/// Writes a picture into a directory, which is made if it is not there.
///
/// # Errors
///
/// A directory that cannot be written to.
pub fn write(dir: &Path, name: &str, picture: &str) -> Result<()> {
    let path = dir.join(name);
    std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(&path, picture))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    eprintln!("drew {}", path.display());
    Ok(())
}

/// A row of a table of ratios: its name, and the ratio in each column where there is one.
pub type Row = (String, Vec<Option<f64>>);

/// A table of ratios, darker where the engine is slower than its limit.
pub fn ratio_table(title: &str, columns: &[String], rows: &[Row]) -> String {
    let (left, top, width, height) = (260.0, 60.0, 100.0, 26.0);
    let mut picture = Picture::new(
        left + width * columns.len() as f64 + 20.0,
        top + height * rows.len() as f64 + 20.0,
    );
    picture.text(10.0, 22.0, "start", title);
    for (column, name) in columns.iter().enumerate() {
        picture.text(left + width * (column as f64 + 0.5), top - 10.0, "middle", name);
    }
    for (row, (name, ratios)) in rows.iter().enumerate() {
        let y = top + height * row as f64;
        picture.text(left - 10.0, y + 18.0, "end", name);
        for (column, ratio) in ratios.iter().enumerate() {
            let x = left + width * column as f64;
            let Some(ratio) = ratio else { continue };
            picture.cell(x, y, (width, height), &shade(*ratio));
            picture.text(x + width / 2.0, y + 18.0, "middle", &format!("{ratio:.2}"));
        }
    }
    picture.finish()
}

/// Red at nought, yellow in the middle, green from one on.
fn shade(ratio: f64) -> String {
    let part = ratio.clamp(0.0, 1.0);
    let red = 255.0 - 105.0 * (2.0 * part - 1.0).max(0.0);
    let green = 150.0 + 80.0 * (2.0 * part).min(1.0);
    format!("#{:02x}{:02x}{:02x}", red as u8, green as u8, 150)
}

/// The distribution of latencies, one curve for each name: how long the slowest of so many waited.
pub fn latencies(title: &str, curves: &[(String, Histogram)]) -> String {
    let (left, right, top, bottom) = (80.0, 620.0, 50.0, 360.0);
    let mut picture = Picture::new(820.0, 410.0);
    picture.text(10.0, 24.0, "start", title);
    let slowest = curves.iter().map(|(_, all)| all.figures().max_us).fold(1.0, f64::max);
    let decades = slowest.log10().ceil().max(1.0);
    let x_of = |nines: f64| left + (right - left) * nines / 5.0;
    let y_of = |us: f64| bottom - (bottom - top) * us.max(1.0).log10() / decades;
    for decade in 0..=decades as i32 {
        let us = 10_f64.powi(decade);
        picture.line((left, y_of(us)), (right, y_of(us)));
        picture.text(left - 8.0, y_of(us) + 4.0, "end", &format!("{us} us"));
    }
    for (nines, name) in ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"].iter().enumerate() {
        picture.line((x_of(nines as f64), top), (x_of(nines as f64), bottom));
        picture.text(x_of(nines as f64), bottom + 20.0, "middle", name);
    }
    for (number, (name, all)) in curves.iter().enumerate() {
        // No further than there are messages to say it of.
        let last = (all.len().max(1) as f64).log10().min(5.0);
        let steps = 200;
        let point = |step: i32| {
            let nines = last * f64::from(step) / f64::from(steps);
            (x_of(nines), y_of(all.micros_at(1.0 - 10_f64.powf(-nines))))
        };
        let points: Vec<_> = (0..=steps).map(point).collect();
        let colour = COLOURS[number % COLOURS.len()];
        picture.curve(&points, colour);
        let y = top + 20.0 * number as f64;
        picture.curve(&[(right + 20.0, y), (right + 40.0, y)], colour);
        picture.text(right + 48.0, y + 4.0, "start", name);
    }
    picture.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_table_has_a_cell_for_each_ratio_that_there_is() {
        let rows =
            [("w1 <u>".to_owned(), vec![Some(0.5), None]), ("w2".into(), vec![None, Some(2.0)])];
        let table = ratio_table("t", &["1".into(), "2".into()], &rows);
        assert_eq!(table.matches("<rect").count(), 3);
        assert!(table.contains(">0.50<") && table.contains(">2.00<") && table.contains("w1 &lt;u"));
        assert!(table.starts_with("<svg ") && table.ends_with("</svg>\n"));
    }

    #[test]
    fn colours_go_from_red_to_green() {
        assert_eq!([shade(0.0), shade(0.5), shade(3.0)], ["#ff9696", "#ffe696", "#96e696"]);
    }

    #[test]
    fn a_curve_rises_to_the_slowest() {
        let mut all = Histogram::default();
        (1..=900).for_each(|us| all.record(Duration::from_micros(us)));
        let picture = latencies("t", &[("twin".into(), all)]);
        let points = picture.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let ys: Vec<f64> =
            points.split(' ').map(|p| p.split_once(',').unwrap().1.parse().unwrap()).collect();
        assert_eq!(ys.len(), 201);
        assert!(ys.is_sorted_by(|a, b| a >= b), "{ys:?}");
        // 900 us of three decades.
        assert!((ys[200] - (360.0 - 310.0 * 900_f64.log10() / 3.0)).abs() < 0.5, "{}", ys[200]);
    }
}
