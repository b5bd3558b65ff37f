import Converters
import Foundation
import Rudolph

/// A line on standard error, when that is a terminal: a bar, the share done, the tensor at work.
struct ProgressBar {
    private let isTerminal = isatty(STDERR_FILENO) == 1
    private var shown = -1

    mutating func show(_ progress: ConversionProgress) {
        guard isTerminal, progress.total > 0 else { return }
        let percent = progress.done * 100 / progress.total
        guard percent != shown else { return }
        shown = percent
        let filled = percent * 30 / 100
        let bar = String(repeating: "█", count: filled) + String(repeating: "░", count: 30 - filled)
        write("\r\u{1B}[K\(bar) \(percent) % \(printable(progress.tensor))")
    }

    /// Takes the line away.
    mutating func clear() {
        guard isTerminal, shown >= 0 else { return }
        shown = -1
        write("\r\u{1B}[K")
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}
