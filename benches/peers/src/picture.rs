//! What was measured as bars, the least first: a picture that needs nothing to be looked at. Bars are as long as the logarithms of
//! what they stand for.

use std::fmt::Write;

/// What is compared.
pub struct Group {
    pub title: String,
    pub unit: &'static str,
    /// Of whom, and how much; the least first.
    pub bars: Vec<(&'static str, f64)>,
}

/// All of them below each other, as SVG. Whose names begin with `ours` stand out.
pub fn picture(groups: &[Group], ours: &str) -> String {
    let mut bars = String::new();
    let mut y = 10.0;
    for Group {
        title,
        unit,
        bars: values,
    } in groups
    {
        let _ = writeln!(
            bars,
            "<text x=\"10\" y=\"{}\" class=\"case\">{title}</text>",
            y + 14.0
        );
        y += 24.0;
        let least = values.first().map_or(1.0, |(_, value)| *value);
        for (name, value) in values {
            let class = if name.starts_with(ours) {
                "ours"
            } else {
                "peer"
            };
            bar(&mut bars, y, name, class, *value / least);
            let length = length(*value / least);
            let digits = usize::from(least < 100.0);
            let _ = writeln!(
                bars,
                "<text x=\"{:.0}\" y=\"{}\">{value:.digits$} {unit}, {:.2}</text>",
                244.0 + length,
                y + 12.0,
                value / least
            );
            y += 18.0;
        }
        y += 14.0;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1200 {y:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <style>.case{{font-weight:bold}}.name{{text-anchor:end}}.ours{{fill:#2f6fde}}.peer{{fill:#b8c0cc}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{bars}</svg>\n"
    )
}

/// How long a bar is that stands for so many times the least.
fn length(times: f64) -> f64 {
    30.0 + 90.0 * times.ln()
}

fn bar(bars: &mut String, y: f64, name: &str, class: &str, times: f64) {
    let _ = writeln!(
        bars,
        "<text x=\"230\" y=\"{}\" class=\"name\">{name}</text>",
        y + 12.0
    );
    let _ = writeln!(
        bars,
        "<rect x=\"238\" y=\"{}\" width=\"{:.0}\" height=\"14\" class=\"{class}\"/>",
        y + 1.0,
        length(times)
    );
}
