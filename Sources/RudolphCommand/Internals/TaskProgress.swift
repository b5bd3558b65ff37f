import CPlatform
import CommandSupport
import Rudolph

/// Shows on a terminal what a task is doing, how fast, and how long it will take.
final class TaskProgress {
    /// What comes before the stage, such as the name of the input.
    var place = ""
    private var line: ProgressLine
    private var stage: Progress.Stage?
    /// When the stage began, and what was done then.
    private var start = 0.0
    private var first = 0
    private var lastShown = 0.0
    private var isSuspended = false

    /// Seconds between two lines of a stage, so that quick steps do not wait for the terminal.
    private static let interval = 0.1

    init(_ line: ProgressLine) {
        self.line = line
    }

    /// For the `progress` parameter of a task.
    var handler: ProgressHandler? {
        guard line.isShown else { return nil }
        return { [self] progress in
            report(progress)
            return true
        }
    }

    func show(_ text: String) {
        stage = nil
        if isSuspended { return }
        line.show(place + text)
    }

    func clear() {
        line.clear()
        stage = nil
    }

    /// Leaves the terminal's line to others until `resume`.
    func suspend() {
        clear()
        isSuspended = true
    }

    func resume() { isSuspended = false }

    private func report(_ progress: Progress) {
        if isSuspended { return }
        let now = rp_seconds()
        if stage != progress.stage || progress.done < first {
            (stage, start, first) = (progress.stage, now, progress.done)
        } else if now - lastShown < Self.interval {
            return
        }
        lastShown = now
        line.show(place + describe(progress, seconds: now - start))
    }

    private func describe(_ progress: Progress, seconds: Double) -> String {
        if progress.stage == .encodingImage { return progress.stage.name }
        var text = "\(progress.stage.name) \(progress.done)/\(progress.total)"
        let done = progress.done - first
        guard done > 0, seconds > 0.5 else { return text }
        let rate = Double(done) / seconds
        if progress.stage != .ranking { text += ", \(rate < 10 ? decimal(rate, places: 1) : decimal(rate, places: 0)) tokens/s" }
        return text + ", \(duration(Double(progress.total - progress.done) / rate)) left"
    }
}

/// A length of time in words: 40 s, 3 min 20 s, 2 h 5 min.
func duration(_ seconds: Double) -> String {
    let seconds = Int(min(max(seconds, 0), 1e9).rounded(.up))
    if seconds < 60 { return "\(seconds) s" }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds / 60 % 60) min"
}

/// A number with a fixed number of decimal places; what is not finite as Swift writes it.
func decimal(_ value: Double, places: Int) -> String {
    var scale = 1.0
    for _ in 0..<places { scale *= 10 }
    let scaled = (value.magnitude * scale).rounded()
    guard scaled < 1e18 else { return "\(value)" }
    let whole = Int(scaled), unit = Int(scale)
    let sign = value < 0 && whole > 0 ? "-" : ""
    guard places > 0 else { return "\(sign)\(whole)" }
    let fraction = String(whole % unit)
    return "\(sign)\(whole / unit)." + String(repeating: "0", count: places - fraction.count) + fraction
}
