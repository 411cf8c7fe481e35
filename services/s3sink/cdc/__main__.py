from services.s3sink.cdc.app import main

main()
