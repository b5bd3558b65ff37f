import CommandSupport
import Rudolph

/// A line of the results whose text a terminal shows while it is generated. Elsewhere it is written when it is complete.
final class GrowingLine {
    private let isShown: Bool
    private let progress: TaskProgress
    /// What comes before the text.
    private var beginning: String
    /// Bytes of the text that the terminal shows.
    private var shown = 0
    private var failure: OutputError?

    /// - Parameters:
    ///   - isWanted: whether it is the text that is told while it grows.
    ///   - progress: gives way on the same terminal.
    init(_ beginning: String = "", if isWanted: Bool, _ progress: TaskProgress) {
        isShown = isWanted && standardOutputIsTerminal()
        self.beginning = beginning
        self.progress = progress
    }

    /// For the `partial` parameter of a task.
    var handler: PartialTextHandler? {
        isShown ? { [self] in show($0) } : nil
    }

    private func show(_ piece: Substring) {
        progress.suspend()
        write(beginning + piece)
        beginning = ""
        shown += piece.utf8.count
    }

    /// A task cannot be told of an error.
    private func write(_ text: String) {
        guard failure == nil else { return }
        do throws(OutputError) {
            try writeToStandardOutput(Array(printable(text).utf8))
        } catch {
            failure = error
        }
    }

    /// What is still to be written of the line.
    func rest(of text: String) throws(OutputError) -> String {
        defer { resume() }
        if let failure { throw failure }
        return beginning + String(decoding: text.utf8.dropFirst(shown), as: UTF8.self)
    }

    /// Ends a line that will have no rest.
    func end() {
        if shown > 0 { write("\n") }
        resume()
    }

    private func resume() {
        shown = 0
        progress.resume()
    }
}
