//! All colors of drawings. `chart.css` has the same ones; a test compares them.

/// Red, green and blue.
pub type Color = [u8; 3];

/// Colors of one theme by their name in the style sheet.
#[derive(Debug)]
pub struct Theme {
    pub ground: Color,
    pub ink: Color,
    pub value: Color,
    pub limit: Color,
    pub baseline: Color,
    pub band: Color,
    pub firing: Color,
    pub hatch: Color,
    pub grid: Color,
    pub bars: Color,
    /// The dot of cells that are worse than usual.
    pub worse: Color,
}

pub const LIGHT: Theme = Theme {
    ground: [0xff, 0xff, 0xff],
    ink: [0x1f, 0x23, 0x28],
    value: [0x0b, 0x5c, 0xad],
    limit: [0xc2, 0x41, 0x0c],
    baseline: [0x57, 0x60, 0x6a],
    band: [0xd3, 0xe3, 0xf3],
    firing: [0xff, 0xeb, 0xe9],
    hatch: [0xb6, 0xbd, 0xc5],
    grid: [0xe4, 0xe7, 0xeb],
    bars: [0xc9, 0xd1, 0xd9],
    worse: [0xff, 0xff, 0xff],
};

pub const DARK: Theme = Theme {
    ground: [0x0f, 0x14, 0x19],
    ink: [0xe6, 0xed, 0xf3],
    value: [0x6c, 0xb6, 0xff],
    limit: [0xff, 0x9a, 0x6b],
    baseline: [0x9a, 0xa4, 0xaf],
    band: [0x1c, 0x33, 0x49],
    firing: [0x2e, 0x1b, 0x1b],
    hatch: [0x4a, 0x54, 0x5e],
    grid: [0x23, 0x2a, 0x32],
    bars: [0x37, 0x40, 0x4a],
    worse: [0x0f, 0x14, 0x19],
};

/// Lines of versions.
pub const VERSIONS: [Color; 5] =
    [[0x0b, 0x5c, 0xad], [0xd9, 0x77, 0x06], [0x8e, 0x4e, 0xc6], [0x0f, 0x76, 0x6e], [0x11, 0x18, 0x27]];

/// Lines of versions on a dark ground.
pub const VERSIONS_DARK: [Color; 5] =
    [[0x6c, 0xb6, 0xff], [0xff, 0xb8, 0x4d], [0xa3, 0x71, 0xf7], [0x0f, 0x9d, 0x8c], [0xe5, 0xe7, 0xeb]];

/// Shades of a heatmap from small to large.
pub const SHADES: [Color; 7] = ramp([0xf2, 0xf6, 0xfa], [0x7c, 0xa6, 0xc9], [0x0b, 0x3c, 0x66]);

/// Shades of a heatmap from better than usual to worse.
pub const AGAINST_USUAL: [Color; 7] = ramp([0x0b, 0x5c, 0x8c], [0xf3, 0xf3, 0xf3], [0x9a, 0x4a, 0x00]);

/// Shades of a heatmap on a dark ground: small values are near the ground as well.
pub const SHADES_DARK: [Color; 7] = ramp([0x1a, 0x25, 0x31], [0x2f, 0x6e, 0xa5], [0xd6, 0xea, 0xff]);

/// Shades from better than usual to worse on a dark ground.
pub const AGAINST_USUAL_DARK: [Color; 7] = ramp([0x6c, 0xb6, 0xff], [0x1f, 0x28, 0x31], [0xff, 0x9a, 0x6b]);

/// Seven steps by way of a color in the middle.
const fn ramp(from: Color, middle: Color, to: Color) -> [Color; 7] {
    let mut shades = [middle; 7];
    let mut n = 0;
    while n < 3 {
        shades[n] = between(from, middle, n);
        shades[6 - n] = between(to, middle, n);
        n += 1;
    }
    shades
}

/// The color `n` of 3 steps on the way.
#[expect(clippy::cast_possible_truncation, reason = "a mean of bytes is a byte")]
const fn between(from: Color, to: Color, n: usize) -> Color {
    let mut color = from;
    let mut part = 0;
    while part < 3 {
        color[part] = ((from[part] as usize * (3 - n) + to[part] as usize * n) / 3) as u8;
        part += 1;
    }
    color
}

/// `#0b5cad`.
pub fn hex([red, green, blue]: Color) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

impl Theme {
    /// Names of the style sheet with their colors.
    pub fn named(&self) -> [(&'static str, Color); 11] {
        [
            ("ground", self.ground),
            ("ink", self.ink),
            ("value", self.value),
            ("limit", self.limit),
            ("baseline", self.baseline),
            ("band", self.band),
            ("firing", self.firing),
            ("hatch", self.hatch),
            ("grid", self.grid),
            ("bars", self.bars),
            ("worse", self.worse),
        ]
    }
}

/// The style sheet of a drawing that is a file of its own: the classes of pages with the colors of the light theme,
/// because many programs that show such a file know no custom properties.
pub fn light_stylesheet() -> String {
    stylesheet(&LIGHT, VERSIONS)
}

/// The rules of `chart.css` with the colors of a theme in place of custom properties.
fn stylesheet(theme: &Theme, versions: [Color; 5]) -> String {
    const CSS: &str = include_str!("../web/assets/chart.css");
    let rules = CSS.split_once("/* rules */").map_or("", |(_, rules)| rules);
    let rules = rules.split_once("/* screens */").map_or(rules, |(rules, _)| rules);
    let mut text = rules.split_whitespace().collect::<Vec<_>>().join(" ");
    for (name, color) in theme.named() {
        text = text.replace(&format!("var(--c-{name})"), &hex(color));
    }
    for (n, color) in versions.into_iter().enumerate() {
        text = text.replace(&format!("var(--c-version-{})", n + 1), &hex(color));
    }
    for (n, (value, usual)) in SHADES.into_iter().zip(AGAINST_USUAL).enumerate() {
        text = text.replace(&format!("var(--c-shade-{})", n + 1), &hex(value));
        text = text.replace(&format!("var(--c-usual-{})", n + 1), &hex(usual));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSS: &str = include_str!("../web/assets/chart.css");

    fn linear(color: Color) -> [f64; 3] {
        color.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        })
    }

    fn luminance([red, green, blue]: [f64; 3]) -> f64 {
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(a: Color, b: Color) -> f64 {
        let (a, b) = (luminance(linear(a)), luminance(linear(b)));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn times(matrix: [[f64; 3]; 3], color: [f64; 3]) -> [f64; 3] {
        matrix.map(|row| row.iter().zip(color).map(|(a, b)| a * b).sum())
    }

    fn lab(color: [f64; 3]) -> [f64; 3] {
        const XYZ: [[f64; 3]; 3] =
            [[0.412_456, 0.357_576, 0.180_437], [0.212_673, 0.715_152, 0.072_175], [0.019_334, 0.119_192, 0.950_304]];
        let [x, y, z] = times(XYZ, color);
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let (x, y, z) = (f(x / 0.950_47), f(y), f(z / 1.088_83));
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// The smallest CIE76 distance of two colors for people who see all colors, no red, no green or no blue (Machado
    /// 2009).
    fn distance(a: Color, b: Color) -> f64 {
        const SIGHTS: [[[f64; 3]; 3]; 4] = [
            [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            [
                [0.152_286, 1.052_583, -0.204_868],
                [0.114_503, 0.786_281, 0.099_216],
                [-0.003_882, -0.048_116, 1.051_998],
            ],
            [[0.367_322, 0.860_646, -0.227_968], [0.280_085, 0.672_501, 0.047_413], [-0.011_820, 0.042_940, 0.968_881]],
            [
                [1.255_528, -0.076_749, -0.178_779],
                [-0.078_411, 0.930_809, 0.147_602],
                [0.004_733, 0.691_367, 0.303_900],
            ],
        ];
        let seen = |sight, color| lab(times(sight, linear(color)).map(|part| part.clamp(0.0, 1.0)));
        let apart = |sight| {
            let (a, b) = (seen(sight, a), seen(sight, b));
            a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
        };
        SIGHTS.into_iter().map(apart).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn lines_are_seen_on_their_ground_and_distinguished_by_everyone() {
        for (theme, apart) in [(&LIGHT, 20.0), (&DARK, 33.0)] {
            let lines = [theme.value, theme.limit, theme.baseline];
            for (n, line) in lines.into_iter().enumerate() {
                for ground in [theme.ground, theme.firing] {
                    assert!(
                        contrast(line, ground) >= 4.5,
                        "{} on {}: {}",
                        hex(line),
                        hex(ground),
                        contrast(line, ground)
                    );
                }
                for other in &lines[n + 1..] {
                    assert!(
                        distance(line, *other) >= apart,
                        "{} {}: {}",
                        hex(line),
                        hex(*other),
                        distance(line, *other)
                    );
                }
            }
            assert!(contrast(theme.ink, theme.firing) >= 7.0 && contrast(theme.ground, theme.limit) >= 4.5);
        }
    }

    #[test]
    fn versions_differ_from_each_other_and_from_the_ground() {
        for (colors, ground) in [(VERSIONS, LIGHT.ground), (VERSIONS_DARK, DARK.ground)] {
            for (n, color) in colors.into_iter().enumerate() {
                assert!(contrast(color, ground) >= 3.0, "{}", hex(color));
                for other in &colors[n + 1..] {
                    assert!(
                        distance(color, *other) >= 8.0,
                        "{} {}: {}",
                        hex(color),
                        hex(*other),
                        distance(color, *other)
                    );
                }
            }
        }
    }

    #[test]
    fn shades_get_darker_by_steps_that_are_seen() {
        let lightness = |color| lab(linear(color))[0];
        let steps = |shades: &[Color]| -> Vec<f64> {
            shades.windows(2).map(|pair| lightness(pair[0]) - lightness(pair[1])).collect()
        };
        assert!(lightness(SHADES[0]) > 96.0 && lightness(SHADES[6]) < 26.0);
        assert!(steps(&SHADES).iter().all(|step| *step > 7.0), "{:?}", steps(&SHADES));
        assert!(steps(&SHADES_DARK).iter().all(|step| *step < -7.0), "{:?}", steps(&SHADES_DARK));
        for (shades, sign, theme) in [(AGAINST_USUAL, 1.0, &LIGHT), (AGAINST_USUAL_DARK, -1.0, &DARK)] {
            assert!(steps(&shades[..4]).iter().all(|step| step * sign < -7.0), "{:?}", steps(&shades));
            assert!(steps(&shades[3..]).iter().all(|step| step * sign > 7.0), "{:?}", steps(&shades));
            // In grey both ends are alike: worse cells also carry a dot, which must be seen on both of their shades.
            assert!(shades[5..].iter().all(|shade| contrast(*shade, theme.worse) >= 3.0));
        }
    }

    #[test]
    fn the_style_sheet_has_these_colors() {
        let light = CSS.split_once("/* rules */").unwrap().0;
        let dark: Vec<&str> = CSS.split("--c-ground: ").skip(2).collect();
        assert_eq!(dark.len(), 2, "by preference and by choice");
        for (name, color) in LIGHT.named() {
            assert!(light.contains(&format!("--c-{name}: {};", hex(color))), "{name}");
        }
        for (n, color) in VERSIONS.into_iter().enumerate() {
            assert!(light.contains(&format!("--c-version-{}: {};", n + 1, hex(color))), "version {n}");
        }
        for (n, (value, usual)) in SHADES.into_iter().zip(AGAINST_USUAL).enumerate() {
            let has = |name, color| light.contains(&format!("--c-{name}-{}: {};", n + 1, hex(color)));
            assert!(has("shade", value) && has("usual", usual), "shade {n}");
        }
        for part in dark {
            let part = format!("--c-ground: {part}");
            for (name, color) in DARK.named() {
                assert!(part.contains(&format!("--c-{name}: {};", hex(color))), "dark {name}");
            }
            for (n, color) in VERSIONS_DARK.into_iter().enumerate() {
                assert!(part.contains(&format!("--c-version-{}: {};", n + 1, hex(color))), "dark version {n}");
            }
            for (n, (value, usual)) in SHADES_DARK.into_iter().zip(AGAINST_USUAL_DARK).enumerate() {
                let has = |name, color| part.contains(&format!("--c-{name}-{}: {};", n + 1, hex(color)));
                assert!(has("shade", value) && has("usual", usual), "dark shade {n}");
            }
        }
    }

    #[test]
    fn a_file_has_colors_in_place_of_properties() {
        let css = light_stylesheet();
        assert!(css.contains("stroke: #0b5cad") && !css.contains("var(") && !css.contains("@media"), "{css}");
    }
}
