import Foundation

/// Reference data: Tests/Golden and the float demo checkpoint, found from this source file.
enum Golden {
    static let project = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    static let folder = project.appending(path: "Tests/Golden")
    static let checkpoint = project.appending(path: "Models/demo/float")

    static func json<T: Decodable>(_ type: T.Type, _ name: String) throws -> T {
        try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
    }
}
