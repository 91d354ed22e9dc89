//! A small plot: lines and points over two axes.

use std::fmt::Write as _;

/// A series of points, as a line or as dots.
#[derive(Clone, Debug)]
pub struct Series {
    /// In the legend.
    pub name: String,
    /// Of the form `#rrggbb`.
    pub colour: &'static str,
    /// Joined by lines; otherwise dots.
    pub line: bool,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 170.0;
const BOTTOM: f64 = 52.0;

/// The plot, with both axes from 0.
pub fn plot(title: &str, x_name: &str, y_name: &str, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|s| &s.points);
    let top = |f: fn(&(f64, f64)) -> f64| all().map(f).fold(1e-9, f64::max) * 1.05;
    let (x_top, y_top) = (top(|p| p.0), top(|p| p.1));
    let x = |v: f64| LEFT + v / x_top * (WIDTH - LEFT - RIGHT);
    let y = |v: f64| HEIGHT - BOTTOM - v / y_top * (HEIGHT - TOP - BOTTOM);
    let mut s = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    for n in 0..=4 {
        let (vx, vy) = (x_top * f64::from(n) / 4.0, y_top * f64::from(n) / 4.0);
        let _ = writeln!(
            s,
            "<path d=\"M{LEFT} {:.1}H{:.1}\" stroke=\"#dddddd\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{vy:.2}</text>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{vx:.2}</text>",
            y(vy),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(vy) + 4.0,
            x(vx),
            HEIGHT - BOTTOM + 18.0
        );
    }
    let _ = writeln!(
        s,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{x_name}</text>\n\
         <text transform=\"translate(16 {:.1}) rotate(-90)\" text-anchor=\"middle\">{y_name}</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 12.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    for (n, series) in series.iter().enumerate() {
        let colour = series.colour;
        if series.line {
            let path: Vec<String> = series
                .points
                .iter()
                .map(|p| format!("{:.1} {:.1}", x(p.0), y(p.1)))
                .collect();
            let _ = writeln!(
                s,
                "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>",
                path.join("L")
            );
        } else {
            for p in &series.points {
                let _ = writeln!(
                    s,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                    x(p.0),
                    y(p.1)
                );
            }
        }
        let at = TOP + 16.0 * n as f64;
        let mark = if series.line {
            "12\" height=\"2"
        } else {
            "7\" height=\"7"
        };
        let _ = writeln!(
            s,
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{mark}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            WIDTH - RIGHT + 12.0,
            at,
            WIDTH - RIGHT + 30.0,
            at + 7.0,
            series.name
        );
    }
    s + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_lie_between_the_axes() {
        let series = Series {
            name: "a".into(),
            colour: "#000000",
            line: false,
            points: vec![(0.0, 0.0), (2.0, 1.0)],
        };
        let s = plot("t", "x", "y", &[series]);
        assert!(s.contains("cx=\"64.0\" cy=\"368.0\""), "{s}");
        assert_eq!(s.matches("<circle").count(), 2);
    }
}
