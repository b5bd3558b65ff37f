import ImageFiles
import Rudolph

/// Writes pictures: one to `path`; several side by side to `path`, and each by itself to `path` with -1, -2, ... before its extension.
/// - Returns: the file of each picture.
func writePictures(_ pictures: [RGBImage], path: String) throws -> [String] {
    let paths = picturePaths(path, count: pictures.count)
    let files = try pictures.map { try Picture(width: $0.width, height: $0.height, pixels: $0.pixels) }
    try holdingSignals {
        for (file, path) in zip(files, paths) { try file.write(path: path) }
        if files.count > 1 { try contactSheet(files).write(path: path) }
    }
    return paths
}

/// Throws when `writePictures` is bound to fail for one of its files: to be asked before long work.
func checkPictures(path: String, count: Int) throws {
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
