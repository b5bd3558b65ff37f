#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Files that are either written whole or left as they were.
public enum OutputFile {
    /// Writes beside `path`, syncs and renames. A symbolic link stays one: the file that it names is replaced, or made. What is no
    /// regular file (a pipe, a device) is written to as it is.
    public static func write(_ bytes: [UInt8], path: String) throws(ImageFileError) {
        var information = stat()
        guard stat(path, &information) == 0 else {
            guard errno == ENOENT else { throw ImageFileError("\(path): \(errorText())") }
            return try replace(try resolved(path), with: bytes, mode: 0o666 & ~currentMask())
        }
        switch information.st_mode & S_IFMT {
        case S_IFREG:
            try replace(try resolved(path), with: bytes, mode: information.st_mode & 0o777)
        case S_IFDIR:
            throw ImageFileError("\(path): it is a directory; expected the name of a file to write")
        default:
            let descriptor = open(path, O_WRONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw ImageFileError("\(path): \(errorText())") }
            defer { close(descriptor) }
            guard writeAll(descriptor, bytes) else { throw ImageFileError("\(path): \(errorText())") }
        }
    }

    /// Throws when `write` is bound to fail: to be asked before long work, not instead of `write`'s own errors.
    public static func check(path: String) throws(ImageFileError) {
        guard !path.isEmpty else { throw ImageFileError("an empty name for an output file") }
        guard path != "-" else { throw ImageFileError("-: expected the name of a file to write; ./- is a file of that name") }
        var information = stat()
        if stat(path, &information) == 0 {
            let kind = information.st_mode & S_IFMT
            guard kind != S_IFDIR else { throw ImageFileError("\(path): it is a directory; expected the name of a file to write") }
            guard kind == S_IFREG else { return }
        } else if errno != ENOENT {
            throw ImageFileError("\(path): \(errorText())")
        }
        let target = try resolved(path)
        // With the dot, as an empty path would be no folder.
        guard access(folder(of: target) + ".", W_OK | X_OK) == 0 else {
            throw ImageFileError("\(path): cannot write beside it: \(errorText())")
        }
    }

    /// Makes a folder; its parent must be there. One that is there already is no error.
    public static func makeFolder(path: String) throws(ImageFileError) {
        guard mkdir(path, 0o777) != 0 else { return }
        let code = errno
        var information = stat()
        guard code == EEXIST, stat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR else {
            throw ImageFileError("\(path): \(String(cString: strerror(code)))")
        }
    }

    private static func replace(_ path: String, with bytes: [UInt8], mode: mode_t) throws(ImageFileError) {
        // A short name: what is added to a long one may be too much for the file system.
        var template = Array("\(folder(of: path)).rudolph.XXXXXX".utf8CString)
        let descriptor = template.withUnsafeMutableBufferPointer { $0.baseAddress.map { mkstemp($0) } ?? -1 }
        guard descriptor >= 0 else { throw ImageFileError("\(path): cannot write beside it: \(errorText())") }
        let isWritten = writeAll(descriptor, bytes) && fchmod(descriptor, mode) == 0 && fsync(descriptor) == 0
        var failure = isWritten ? nil : errorText()
        if close(descriptor) != 0, failure == nil { failure = errorText() }
        if failure == nil, rename(template, path) != 0 { failure = errorText() }
        if let failure {
            unlink(template)
            throw ImageFileError("\(path): \(failure)")
        }
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let count = Int(writeSome(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count))
                if count < 0 && errno == EINTR { continue }
                guard count > 0 else { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }
    }

    /// The file that a symbolic link leads to, whether or not it is there; another path as it is. Links in the folders on the way are
    /// left to the system.
    private static func resolved(_ path: String) throws(ImageFileError) -> String {
        var target = path
        var bytes = [CChar](repeating: 0, count: Int(PATH_MAX))
        // Linux follows as many.
        for _ in 0..<40 {
            let count = readlink(target, &bytes, bytes.count)
            guard count >= 0 else { return target }
            guard let next = String(validating: bytes.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self) else {
                throw ImageFileError("\(path): it is a symbolic link to a name that is not UTF-8")
            }
            target = next.utf8.first == UInt8(ascii: "/") ? next : folder(of: target) + next
        }
        throw ImageFileError("\(path): \(String(cString: strerror(ELOOP)))")
    }

    /// What comes before the last component of a path, with its slash.
    private static func folder(of path: String) -> String {
        path.utf8.lastIndex(of: UInt8(ascii: "/")).map { String(path[...$0]) } ?? ""
    }

    /// The process's file mode mask, which can only be read by setting it.
    private static func currentMask() -> mode_t {
        let mask = umask(0)
        umask(mask)
        return mask
    }
}

/// `write(2)`, out of reach of the method of that name.
private func writeSome(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}
