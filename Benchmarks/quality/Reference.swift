import Foundation
import ImageFiles
import Rudolph

/// What the reference makes of the demo model: Tests/Golden, see its README.
enum Reference {
    static let folder = DemoModel.project.appending(path: "Tests/Golden")

    /// One of the 342 evaluation pictures.
    struct Emoji: Decodable {
        let file, split, name: String
        let tokens: [Int]
        /// Greedy captions: ids of the right text, and their text.
        let ids: [Int], caption: String
        let template_ids: [Int], template_caption: String

        var isHeldOut: Bool { split == "heldout" }
    }

    /// Image tokens and the PNG file of what the reference's decoder makes of them.
    struct Decoded {
        let tokens: [Int]
        let file: String
    }

    static func emoji() throws -> [Emoji] { try json([Emoji].self, "emoji.json") }

    static func decoded() throws -> [Decoded] {
        struct Image: Decodable {
            let png: String
            let indices: [Int]
        }
        return try json([Image].self, "images.json").map {
            Decoded(tokens: $0.indices, file: $0.png.replacingOccurrences(of: ".png", with: "_recon.png"))
        } + json([Image].self, "t2i.json").map { Decoded(tokens: $0.indices, file: $0.png) }
    }

    static func picture(_ name: String) throws -> RGBImage {
        let picture = try Picture(path: folder.appending(path: name).path)
        return try RGBImage(width: picture.width, height: picture.height, pixels: picture.pixels)
    }

    private static func json<T: Decodable>(_ type: T.Type, _ name: String) throws -> T {
        try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
    }
}
