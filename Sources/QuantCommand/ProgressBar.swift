import CommandSupport
import Converters
import Rudolph

/// A line on standard error, when that is a terminal: a bar, the share done, the tensor at work.
struct ProgressBar {
    private var line = ProgressLine(isShown: standardErrorIsTerminal())
    private var shown = -1

    private static let length = 20

    mutating func show(_ progress: ConversionProgress) {
        guard progress.total > 0 else { return }
        let percent = progress.done * 100 / progress.total
        guard percent != shown else { return }
        shown = percent
        let filled = percent * Self.length / 100
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: Self.length - filled) + " \(percent) % "
        // The line would cut the bar.
        line.show(bar + printable(progress.tensor).prefix(ProgressLine.width - bar.count))
    }

    /// Takes the line away.
    mutating func clear() {
        shown = -1
        line.clear()
    }
}
