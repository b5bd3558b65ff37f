// Draws a text and writes a PNG or JPEG file: Draw MODEL TEXT PICTURE
import Foundation
import ImageFiles
import Rudolph

@main
struct Draw {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 4 else {
            print("usage: Draw MODEL TEXT PICTURE")
            return
        }
        let session = try Session(Model(path: arguments[1]))
        var options = DrawOptions()
        options.seed = 1
        let drawings = try Drawer(session).draw(
            arguments[2], options,
            progress: { progress in
                FileHandle.standardError.write(Data("\(progress.done)/\(progress.total)\r".utf8))
                return true
            })
        let image = try session.image(of: drawings[0].tokens)
        try Picture(width: image.width, height: image.height, pixels: image.pixels).write(path: arguments[3])
    }
}
