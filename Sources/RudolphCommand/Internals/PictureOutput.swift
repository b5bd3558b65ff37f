import ArgumentParser
import CommandSupport
import ImageFiles
import Rudolph

/// What stands for standard output in place of a picture's file.
private let standardOutput = "-"

/// Writes pictures: one to `path`; several side by side to `path`, and each by itself to `path` with -1, -2, ... before its extension.
/// One goes to standard output as a PNG file where `path` is `-`.
/// - Returns: the file of each picture, none of one on standard output.
func writePictures(_ pictures: [Picture], path: String) throws -> [String] {
    if path == standardOutput, let picture = pictures.first {
        let bytes = try picture.pngData()
        try endingOnInterrupt { try writeToStandardOutput(bytes) }
        return []
    }
    let paths = picturePaths(path, count: pictures.count)
    var files = try zip(pictures, paths).map { (bytes: try $0.fileData(path: $1), path: $1) }
    if pictures.count > 1 { files.append((try contactSheet(pictures).fileData(path: path), path)) }
    try writeFiles(files)
    return paths
}

/// Throws where standard output would hold more than a picture.
func validatePictureOutput(_ path: String, count: Int = 1, json: Bool) throws {
    guard path == standardOutput else { return }
    if count > 1 { throw ValidationError("-o - writes one picture to standard output; found \(count)") }
    if json { throw ValidationError("-o - writes the picture to standard output: no --json") }
}

/// Throws when `writePictures` is bound to fail for one of its files: to be asked before long work.
func checkPictures(path: String, count: Int) throws {
    if path == standardOutput {
        guard count == 1 else { throw CommandError("-o - writes one picture to standard output; found \(count)") }
        guard !standardOutputIsTerminal() else {
            throw CommandError("-o - writes the picture to standard output, which is a terminal; expected a pipe or a file")
        }
        return
    }
    try OutputFile.check(path: path)
    for path in picturePaths(path, count: count) { try OutputFile.check(path: path) }
}

/// Where `writePictures` puts each of `count` pictures.
func picturePaths(_ path: String, count: Int) -> [String] {
    if count == 1 { return [path] }
    let name = path.lastIndex(of: "/").map { path.index(after: $0) } ?? path.startIndex
    var end = path.endIndex
    if let dot = path[name...].lastIndex(of: "."), dot != name { end = dot }
    return (1...max(1, count)).map { "\(path[..<end])-\($0)\(path[end...])" }
}

/// Pictures of one size in rows and columns on white, as nearly a square as can be.
func contactSheet(_ pictures: [Picture]) throws -> Picture {
    guard let first = pictures.first else { throw CommandError("no pictures for a contact sheet") }
    var columns = 1
    while columns * columns < pictures.count { columns += 1 }
    let rows = (pictures.count + columns - 1) / columns
    let gap = max(2, first.width / 32)
    let width = columns * (first.width + gap) + gap, height = rows * (first.height + gap) + gap
    var pixels = [UInt8](repeating: 255, count: width * height * 3)
    for (index, picture) in pictures.enumerated() {
        let left = gap + index % columns * (first.width + gap), top = gap + index / columns * (first.height + gap)
        for row in 0..<picture.height {
            let from = row * picture.width * 3, to = ((top + row) * width + left) * 3
            pixels.replaceSubrange(to..<(to + picture.width * 3), with: picture.pixels[from..<(from + picture.width * 3)])
        }
    }
    return try Picture(width: width, height: height, pixels: pixels)
}

extension Model {
    /// To be asked before tokens are drawn that could not be turned into a picture.
    func requireImageDecoder() throws(CommandError) {
        guard hasImageDecoder else { throw CommandError("\(path): the model has no image decoder; it can read pictures but not draw them") }
    }
}
