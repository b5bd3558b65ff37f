import ImageFiles

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

func environmentVariable(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }
}

/// Where this program lies, symbolic links followed.
func executablePath() -> String? {
    guard let real = realpath("/proc/self/exe", nil) else { return nil }
    defer { free(real) }
    return String(cString: real)
}

func fileExists(_ path: String) -> Bool {
    access(path, F_OK) == 0
}

func isRegularFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
}

/// Whether two paths lead to one file; `-` is standard input as the first.
func isSameFile(_ first: String, _ second: String) -> Bool {
    var one = stat(), other = stat()
    guard (first == "-" ? fstat(STDIN_FILENO, &one) : stat(first, &one)) == 0, stat(second, &other) == 0 else { return false }
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino
}

/// The names in a folder, in no order; none where there is no such folder.
func fileNames(in folder: String) -> [String] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        names.append(name)
    }
    return names
}

func standardOutputIsTerminal() -> Bool {
    isatty(STDOUT_FILENO) == 1
}

/// Characters that the terminal on standard error shows, and a character's size in pixels where it says so; nil for no terminal.
func standardErrorSize() -> (columns: Int, rows: Int, cell: (width: Int, height: Int)?)? {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else { return nil }
    let (columns, rows) = (Int(size.ws_col), Int(size.ws_row))
    let cell = (width: Int(size.ws_xpixel) / columns, height: Int(size.ws_ypixel) / rows)
    return (columns, rows, cell.width > 0 && cell.height > 0 ? cell : nil)
}

/// Writes files as `OutputFile` does: those that appear when they are complete with signals held back, and pipes and devices, which may make
/// us wait, so that any signal ends the program.
func writeFiles(_ files: [(bytes: [UInt8], path: String)]) throws {
    let replaced = files.filter { OutputFile.isReplaced(path: $0.path) }, streams = files.filter { !OutputFile.isReplaced(path: $0.path) }
    try holdingSignals { for file in replaced { try OutputFile.write(file.bytes, path: file.path) } }
    if streams.isEmpty { return }
    try endingOnInterrupt { for file in streams { try OutputFile.write(file.bytes, path: file.path) } }
}

private let endingSignals = [SIGINT, SIGTERM, SIGHUP]
nonisolated(unsafe) private var receivedSignal: sig_atomic_t = 0

/// Runs `body` with the signals that end a program held back until it has returned, on every thread: what it writes beside and
/// renames is never left half-way.
func holdingSignals(_ body: () throws -> Void) rethrows {
    let handlers = endingSignals.map { signal($0) { receivedSignal = sig_atomic_t($0) } }
    defer {
        for (number, handler) in zip(endingSignals, handlers) { signal(number, handler) }
        let received = receivedSignal
        receivedSignal = 0
        if received != 0 { raise(Int32(received)) }
    }
    try body()
}
