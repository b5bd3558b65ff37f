import CPlatform
import Rudolph

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Standard output cannot be written to. Ends the program with exit code 1, whatever was being done.
package struct OutputError: Error, CustomStringConvertible {
    package let description: String
}

/// A line on standard error.
package func note(_ text: String) {
    writeToStandardError(printable(text) + "\n")
}

package func writeToStandardError(_ text: String) {
    let bytes = Array(text.utf8)
    // Nobody could be told.
    _ = rp_write(STDERR_FILENO, bytes, UInt64(bytes.count))
}

package func standardErrorIsTerminal() -> Bool {
    isatty(STDERR_FILENO) == 1
}

/// A full disk is an error, not silence.
package func writeToStandardOutput(_ bytes: [UInt8]) throws(OutputError) {
    let code = rp_write(STDOUT_FILENO, bytes, UInt64(bytes.count))
    guard code == 0 else { throw OutputError(description: "standard output: \(String(cString: rp_error_text(code)))") }
}

/// Lines on standard output, each written whole.
package struct ResultWriter {
    private var buffer: [UInt8] = []

    package init() {}

    /// Adds a line of columns with tabs between them. Names and texts in it can neither end it nor command a terminal: their control
    /// characters become visible.
    package mutating func line(_ columns: String...) {
        buffer.append(contentsOf: columns.map(printable).joined(separator: "\t").utf8)
        buffer.append(UInt8(ascii: "\n"))
    }

    /// Hands the lines on. To be called once for each input, so that a reader gets each result when it is there.
    package mutating func flush() throws(OutputError) {
        defer { buffer.removeAll(keepingCapacity: true) }
        try writeToStandardOutput(buffer)
    }
}
