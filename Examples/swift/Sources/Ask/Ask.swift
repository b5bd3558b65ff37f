// Answers a question about a text, without a picture, and shows the answer as it grows: Ask MODEL "context and question"
import Foundation
import Rudolph

@main
struct Ask {
    static func main() throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            print("usage: Ask MODEL \"context and question\"")
            return
        }
        let session = try Session(Model(path: arguments[1]))
        for answer in try Asker(session).ask(arguments[2]) { print(answer.text) }
    }
}
