from services.s3sink.cdc.app import main

if __name__ == "__main__":
    main()
